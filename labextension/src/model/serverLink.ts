/**
 * The way to a cluster without a kernel: the messages of the comm, over a websocket of the server.
 *
 * Imports types only, so that it is tested without JupyterLab.
 */
import { PROTOCOL_VERSION, readFeed, readFrame, readReply } from './feed.js';
import type { ILinkListener } from './kernelLink.js';
import { Questions } from './questions.js';
import { t } from '../text.js';

/** What is needed of a websocket. */
export type Socket = Pick<WebSocket, 'send' | 'close' | 'binaryType'> & {
  onopen: WebSocket['onopen'];
  onclose: WebSocket['onclose'];
  onmessage: WebSocket['onmessage'];
};

/** Opens the feed of a cluster by its session's name. */
export type OpenFeed = (name: string) => Socket;

/** Follows one cluster at a time. */
export class ServerLink {
  constructor(listener: ILinkListener, open?: OpenFeed) {
    this._listener = listener;
    this._open = open;
  }

  /** Follow this cluster from now on; null: none. */
  attach(name: string | null): void {
    const old = this._socket;
    this._socket = null;
    old?.close();
    this._giveUp();
    if (name === null || this._open === undefined) {
      return;
    }
    this._listener.onStatus('connecting');
    const socket = (this._socket = this._open(name));
    let seen = 0;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => this._tellTasks(socket);
    socket.onclose = () => {
      if (socket === this._socket) {
        this._socket = null;
        this._giveUp();
        this._listener.onStatus('ended');
      }
    };
    socket.onmessage = event => {
      const record = readRecord(event.data);
      const reply = socket === this._socket && record !== null ? readReply(record.data) : null;
      if (reply !== null) {
        this._questions.answered(reply);
        return;
      }
      const message =
        record && (readFeed(record.data) ?? readFrame(record.data, [...record.buffers]));
      if (socket !== this._socket || !message || message.seq <= seen) {
        return;
      }
      seen = message.seq;
      if (message.v !== PROTOCOL_VERSION) {
        this._listener.onStatus('other-version');
        return;
      }
      this._listener.onStatus('live');
      if ('frame' in message) {
        this._listener.onFrame(message.frame, message.rows, message.edges);
      } else {
        this._listener.onCluster(message.cluster);
      }
      if (message.ask) {
        socket.send(JSON.stringify({ v: PROTOCOL_VERSION, ack: message.seq }));
      }
    };
  }

  /** Whether the tasks are to be sent. */
  watchTasks(on: boolean): void {
    if (on !== this._tasks) {
      this._tasks = on;
      if (this._socket !== null) {
        this._tellTasks(this._socket);
      }
    }
  }

  /** Ask what looks at the cluster; rejects with the sentence that says why there is no answer. */
  request(what: string, args: Record<string, unknown>): Promise<unknown> {
    const socket = this._socket;
    if (socket === null) {
      return Promise.reject(new Error(t('There is no connection to the cluster now.')));
    }
    const send = (request: number): void =>
      socket.send(JSON.stringify({ ...args, v: PROTOCOL_VERSION, request, what }));
    return this._questions.ask(send, t('The cluster does not answer.'));
  }

  /** Stop following. */
  dispose(): void {
    this.attach(null);
  }

  private _giveUp(): void {
    this._questions.giveUp(t('The connection to the cluster was lost.'));
  }

  private _tellTasks(socket: Socket): void {
    try {
      socket.send(JSON.stringify({ v: PROTOCOL_VERSION, tasks: this._tasks }));
    } catch {
      // Not open yet: it is told when it is.
    }
  }

  private readonly _listener: ILinkListener;
  private readonly _open: OpenFeed | undefined;
  private _socket: Socket | null = null;
  private _tasks = false;
  private readonly _questions = new Questions();
}

/** The message in a record and its buffers, or null; `nbray/cli/watch.py` describes the bytes. */
export function readRecord(bytes: unknown): { data: unknown; buffers: readonly DataView[] } | null {
  if (!(bytes instanceof ArrayBuffer) || bytes.byteLength < 8) {
    return null;
  }
  const view = new DataView(bytes);
  const length = view.getUint32(0, true);
  const at = 4 + length;
  if (at + 4 > bytes.byteLength) {
    return null;
  }
  const count = view.getUint32(at, true);
  let start = at + 4 + 4 * count;
  if (start > bytes.byteLength) {
    return null;
  }
  const buffers: DataView[] = [];
  for (let n = 0; n < count; n++) {
    const size = view.getUint32(at + 4 + 4 * n, true);
    if (start + size > bytes.byteLength) {
      return null;
    }
    buffers.push(new DataView(bytes, start, size));
    start += size;
  }
  try {
    const text = new TextDecoder().decode(new Uint8Array(bytes, 4, length));
    return { data: JSON.parse(text), buffers };
  } catch {
    return null;
  }
}
