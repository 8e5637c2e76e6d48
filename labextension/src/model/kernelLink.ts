/**
 * The way from the panel to one kernel after the other: finds out whether it has nbray, opens the
 * comm, reads the feed, and starts again after a restart.
 *
 * A kernel without nbray never sees a comm of ours (it would complain on its stderr). Whether it
 * has nbray is known from its name, from a message of the comm `nbray.hello` that the kernel sends when
 * it loads nbray (and lists, for those who ask later), or from this page's memory of before a reload.
 *
 * Imports nothing of JupyterLab's but types, so that it is tested without it.
 */
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import {
  HELLO_TARGET,
  PANEL_TARGET,
  PROTOCOL_VERSION,
  isOver,
  readFeed,
  readFrame,
  readReply
} from './feed.js';
import { Questions } from './questions.js';
import type { IFrame } from '../graph/frames.js';
import { t } from '../text.js';
import type { ICluster, Status } from '../tokens.js';

/** The kernelspec that loads nbray at its start. */
const NBRAY_KERNEL = 'nbray';

/** How long to wait for the subshell that lets a comm work while a cell runs. */
const SUBSHELL_TIMEOUT_MS = 1_000;

/** The same when we make it: JupyterLab holds messages back for 3 s while a kernel does not answer. */
const OWN_SUBSHELL_TIMEOUT_MS = 5_000;

/** How long a kernel has to say what it can do; a busy one, after a reload, says it after its cell. */
const INFO_TIMEOUT_MS = 500;

/** How long after a closed comm the next is opened. */
const REOPEN_MS = 1_000;

/** A comm with what JupyterLab's own class has beyond the interface. */
type Comm = Kernel.IComm & { readonly subshellStarted?: Promise<void> };

type Connection = Kernel.IKernelConnection & {
  readonly supportsSubshells?: boolean;
  /** Where messages without a subshell of their own go. */
  subshellId?: string | null;
};

/** Makes subshells by request on the control channel, which a busy kernel answers too. */
export interface ISubshells {
  /** The id of a new subshell; null when the kernel cannot make one. */
  create(kernel: Kernel.IKernelConnection): Promise<string | null>;
  delete(kernel: Kernel.IKernelConnection, subshellId: string): void;
}

/** Remembers which kernels have nbray, beyond a reload of the page. */
export interface IKernelMemory {
  has(kernelId: string): boolean;
  add(kernelId: string): void;
  delete(kernelId: string): void;
}

/** What the link tells its owner. */
export interface ILinkListener {
  /** The way to the kernel has become longer or shorter. */
  onStatus(status: Status): void;
  /** A message arrived; null: the kernel has no cluster. */
  onCluster(cluster: ICluster | null): void;
  /** Tasks arrived: a frame's header, its rows and its edges. */
  onFrame(frame: IFrame, rows: DataView, edges: DataView): void;
}

/** What the link needs from the browser. */
export interface ILinkOptions {
  listener: ILinkListener;
  memory: IKernelMemory;
  subshells: ISubshells;
  setTimeout?: (action: () => void, delay: number) => unknown;
}

/** Follows one kernel at a time. */
export class KernelLink {
  constructor(options: ILinkOptions) {
    this._listener = options.listener;
    this._memory = options.memory;
    this._subshells = options.subshells;
    this._setTimeout = options.setTimeout ?? ((action, delay) => setTimeout(action, delay));
    this._questions = new Questions(this._setTimeout);
  }

  /** The kernel that is followed. */
  get kernel(): Kernel.IKernelConnection | null {
    return this._kernel;
  }

  /** Follow this kernel from now on. */
  attach(kernel: Kernel.IKernelConnection | null): void {
    if (kernel === this._kernel) {
      return;
    }
    this._detach();
    this._kernel = kernel;
    if (kernel === null) {
      this._setStatus('no-kernel');
      return;
    }
    kernel.statusChanged.connect(this._onKernelStatus, this);
    kernel.iopubMessage.connect(this._onIopub, this);
    this._begin();
  }

  /** Whether the kernel is to send the tasks. */
  watchTasks(on: boolean): void {
    if (on !== this._tasks) {
      this._tasks = on;
      const comm = this._comm;
      if (comm !== null && this._seen > 0) {
        this._send(() => comm.send({ v: PROTOCOL_VERSION, tasks: on }));
      }
    }
  }

  /** Ask the kernel; rejects with the sentence that says why there is no answer. */
  request(what: string, args: Record<string, unknown>): Promise<unknown> {
    const comm = this._comm;
    if (comm === null || this._seen === 0) {
      return Promise.reject(new Error(t('There is no connection to the kernel now.')));
    }
    const send = (request: number): void =>
      this._send(() => comm.send({ ...args, v: PROTOCOL_VERSION, request, what }));
    return this._questions.ask(send, t('The kernel does not answer.'));
  }

  /** Stop following. */
  dispose(): void {
    this._detach();
  }

  private _detach(): void {
    const kernel = this._kernel;
    this._dropComm(true);
    this._kernel = null;
    if (kernel !== null && !kernel.isDisposed) {
      kernel.statusChanged.disconnect(this._onKernelStatus, this);
      kernel.iopubMessage.disconnect(this._onIopub, this);
    }
  }

  /** Find out whether the kernel has nbray, and open the comm if so. */
  private _begin(): void {
    const kernel = this._kernel!;
    if (kernel.status === 'dead') {
      this._setStatus('no-kernel');
    } else if (kernel.name === NBRAY_KERNEL || this._memory.has(kernel.id)) {
      void this._open();
    } else {
      void this._ask();
    }
  }

  private async _ask(): Promise<void> {
    const kernel = this._kernel!;
    const attempt = ++this._attempt;
    this._setStatus('asking');
    try {
      const reply = await kernel.requestCommInfo({ target_name: HELLO_TARGET });
      if (attempt !== this._attempt) {
        return;
      }
      const found = reply.content.status === 'ok' && Object.keys(reply.content.comms).length > 0;
      if (found) {
        void this._open();
      } else {
        this._setStatus('no-nbray');
      }
    } catch {
      // The kernel went away or restarted under the question: its next status starts anew.
      if (attempt === this._attempt) {
        this._setStatus('no-nbray');
      }
    }
  }

  private async _open(): Promise<void> {
    const kernel = this._kernel as Connection;
    this._dropComm(true);
    const attempt = ++this._attempt;
    this._setStatus('connecting');
    try {
      await connected(kernel);
      const ready = await this._within(INFO_TIMEOUT_MS, kernel.info);
      if (attempt !== this._attempt) {
        return;
      }
      const comm: Comm = kernel.createComm(PANEL_TARGET);
      this._comm = comm;
      this._seen = 0;
      comm.onMsg = msg => {
        this._process = msg.header?.session ?? '';
        this._onMessage(comm, msg.content.data, msg.buffers ?? []);
      };
      comm.onClose = () => this._onClose(comm);
      // Without a subshell the first messages go to the main shell and wait for the running cell.
      if (ready === null) {
        const made = await this._within(OWN_SUBSHELL_TIMEOUT_MS, this._subshells.create(kernel));
        if (attempt === this._attempt) {
          this._ownSubshell = made?.value ?? null;
        } else if (made?.value) {
          this._subshells.delete(kernel, made.value);
        }
      } else if (comm.subshellStarted !== undefined && kernel.supportsSubshells !== false) {
        await this._within(SUBSHELL_TIMEOUT_MS, comm.subshellStarted);
      }
      if (attempt === this._attempt && this._comm === comm) {
        this._opened = this._tasks;
        this._send(() => comm.open({ v: PROTOCOL_VERSION, tasks: this._tasks }));
      }
    } catch {
      if (attempt === this._attempt) {
        this._dropComm(false);
        this._setStatus('no-nbray');
      }
    }
  }

  /** The value of a promise, or null when it takes too long. */
  private _within<T>(delay: number, promise: Promise<T>): Promise<{ value: T } | null> {
    const late = new Promise<null>(resolve => {
      this._setTimeout(() => resolve(null), delay);
    });
    return Promise.race([promise.then(value => ({ value })), late]);
  }

  /** Send by way of the subshell that we made, if we did. */
  private _send(action: () => void): void {
    const kernel = this._kernel as Connection;
    const before = kernel.subshellId;
    if (this._ownSubshell !== null) {
      kernel.subshellId = this._ownSubshell;
    }
    try {
      action();
    } finally {
      kernel.subshellId = before;
    }
  }

  private _onMessage(comm: Comm, data: unknown, buffers: readonly unknown[]): void {
    const reply = comm === this._comm ? readReply(data) : null;
    if (reply !== null) {
      this._questions.answered(reply);
      return;
    }
    if (comm === this._comm && isOver(data)) {
      comm.dispose();
      this._onClose(comm);
      return;
    }
    const message = readFeed(data) ?? readFrame(data, buffers);
    if (comm !== this._comm || message === null) {
      return;
    }
    this._memory.add(this._kernel!.id);
    if (message.v !== PROTOCOL_VERSION) {
      this._setStatus('other-version');
      return;
    }
    if (message.seq <= this._seen) {
      return;
    }
    const isFirst = this._seen === 0;
    this._seen = message.seq;
    this._setStatus('live');
    if ('frame' in message) {
      this._listener.onFrame(message.frame, message.rows, message.edges);
    } else {
      this._listener.onCluster(message.cluster);
    }
    if (isFirst && this._opened !== this._tasks) {
      this._send(() => comm.send({ v: PROTOCOL_VERSION, tasks: this._tasks })); // it changed meanwhile
    }
    if (message.ask) {
      this._send(() => comm.send({ v: PROTOCOL_VERSION, ack: message.seq }));
    }
  }

  private _onClose(comm: Comm): void {
    if (comm !== this._comm) {
      return;
    }
    const wasLive = this._seen > 0;
    this._comm = null;
    this._giveUp();
    const kernel = this._kernel!;
    if (!wasLive) {
      // Nobody there knows the target.
      this._memory.delete(kernel.id);
      this._setStatus('no-nbray');
    } else {
      const attempt = ++this._attempt;
      this._setTimeout(() => {
        if (attempt === this._attempt && kernel === this._kernel && !kernel.isDisposed) {
          void this._open();
        }
      }, REOPEN_MS);
    }
  }

  /**
   * Listens for the message by which a kernel says that it has loaded nbray, and for the first one of a new process:
   * where another client has restarted the kernel, JupyterLab says nothing of it here.
   */
  private _onIopub(kernel: Kernel.IKernelConnection, message: KernelMessage.IIOPubMessage): void {
    const isOther =
      this._process !== '' && isOfKernel(message) && message.header.session !== this._process;
    if (isOther && kernel === this._kernel && this._comm !== null) {
      this._dropComm(false); // it died with the old process
      this._memory.delete(kernel.id);
      this._setStatus('restarting');
      this._begin();
    }
    const isHello =
      message.header.msg_type === 'comm_msg' &&
      (message as KernelMessage.ICommMsgMsg<'iopub'>).content.comm_id === HELLO_TARGET;
    if (!isHello || kernel !== this._kernel) {
      return;
    }
    this._memory.add(kernel.id);
    this._restarting = false;
    if (this._status !== 'live' && this._status !== 'connecting') {
      void this._open();
    }
  }

  private _onKernelStatus(kernel: Kernel.IKernelConnection, status: Kernel.Status): void {
    if (kernel !== this._kernel) {
      return;
    }
    if (status === 'restarting' || status === 'autorestarting') {
      this._attempt += 1;
      this._dropComm(false); // it died with the old process
      this._memory.delete(kernel.id);
      this._restarting = true;
      this._setStatus('restarting');
    } else if (status === 'dead' || status === 'terminating') {
      this._attempt += 1;
      this._dropComm(false);
      this._setStatus('no-kernel');
    } else if (this._restarting && (status === 'idle' || status === 'busy')) {
      this._restarting = false;
      this._begin();
    }
  }

  /** Forget the comm; `tell`: the kernel is there to hear of it. */
  private _dropComm(tell: boolean): void {
    const comm = this._comm;
    this._comm = null;
    this._process = '';
    this._attempt += 1;
    this._giveUp();
    if (comm !== null && !comm.isDisposed) {
      if (tell) {
        this._send(() => comm.close());
      } else {
        comm.dispose();
      }
    }
    if (this._ownSubshell !== null && tell && this._kernel !== null) {
      this._subshells.delete(this._kernel, this._ownSubshell);
    }
    this._ownSubshell = null;
  }

  /** Nobody answers any more what was asked over the comm that is gone. */
  private _giveUp(): void {
    this._questions.giveUp(t('The connection to the kernel was lost.'));
  }

  private _setStatus(status: Status): void {
    if (status !== this._status) {
      this._status = status;
      this._listener.onStatus(status);
    }
  }

  private readonly _listener: ILinkListener;
  private readonly _memory: IKernelMemory;
  private readonly _subshells: ISubshells;
  private readonly _setTimeout: (action: () => void, delay: number) => unknown;
  private _kernel: Kernel.IKernelConnection | null = null;
  private _comm: Comm | null = null;
  private _status: Status = 'nothing';
  /** The kernel's process on the other side of the comm, by the session of its messages; empty: none has come yet. */
  private _process = '';
  /** Counts beginnings; what an older one still awaits is void. */
  private _attempt = 0;
  private _restarting = false;
  /** The subshell that we made ourselves because the kernel was busy. */
  private _ownSubshell: string | null = null;
  /** Whether somebody watches the tasks; and whether the comm was opened so. */
  private _tasks = false;
  private _opened = false;
  private readonly _questions: Questions;
  /** Number of the newest message of this comm. */
  private _seen = 0;
}

/** Whether a message is the kernel's own: the server tells of a kernel's state in messages of its own session. */
function isOfKernel({ header, content }: KernelMessage.IIOPubMessage): boolean {
  const { execution_state: state } = content as { execution_state?: string };
  return header.msg_type !== 'status' || state === 'busy' || state === 'idle';
}

/** Resolves when messages to the kernel can be sent, or never need to be. */
function connected(kernel: Kernel.IKernelConnection): Promise<void> {
  return new Promise(resolve => {
    const check = (): void => {
      if (kernel.isDisposed || kernel.connectionStatus === 'connected') {
        kernel.connectionStatusChanged.disconnect(check);
        resolve();
      }
    };
    kernel.connectionStatusChanged.connect(check);
    check();
  });
}
