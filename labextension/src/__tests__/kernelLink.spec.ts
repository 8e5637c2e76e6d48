import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { Kernel } from '@jupyterlab/services';
import { KernelLink } from '../model/kernelLink.js';
import type { ICluster, Status } from '../tokens.js';

/** Lets all promises that can go on go on. */
const settle = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

class FakeComm {
  constructor(readonly target: string) {}
  onMsg: (msg: unknown) => void = () => undefined;
  onClose: (msg: unknown) => void = () => undefined;
  readonly sent: unknown[] = [];
  opened: unknown = undefined;
  closed = false;
  isDisposed = false;
  /** The session of the kernel's process behind it. */
  process = 'first';
  startSubshell: () => void = () => undefined;
  readonly subshellStarted = new Promise<void>(resolve => (this.startSubshell = resolve));

  open(data: unknown): void {
    this.opened = data;
  }
  send(data: unknown): void {
    this.sent.push(data);
  }
  close(): void {
    this.closed = true;
    this.isDisposed = true;
    this.onClose({});
  }
  dispose(): void {
    this.isDisposed = true;
  }
  /** A message of the feed arrives. */
  deliver(seq: number, cluster: object | null = null, v = 1, ask = false): void {
    this.onMsg({ header: { session: this.process }, content: { data: { v, seq, cluster, ask } } });
  }
  /** A frame of the tasks arrives. */
  deliverFrame(seq: number, frame: object, buffers: ArrayBuffer[], ask: boolean): void {
    this.onMsg({ content: { data: { v: 1, seq, frame, ask } }, buffers });
  }
}

class FakeKernel {
  constructor(
    readonly name = 'python3',
    readonly id = 'k1'
  ) {}
  status = 'idle';
  isDisposed = false;
  supportsSubshells = true;
  info: Promise<object> = Promise.resolve({});
  subshellId: string | null = null;
  readonly comms: FakeComm[] = [];
  /** What a question for open comms is answered with. */
  hellos: object = {};
  asked = 0;
  connectionStatus = 'connected';
  readonly connectionStatusChanged = { connect: () => true, disconnect: () => true };
  private slots: ((kernel: unknown, status: string) => void)[] = [];

  readonly statusChanged = {
    connect: (slot: (kernel: unknown, status: string) => void, self: unknown): void =>
      void this.slots.push(slot.bind(self)),
    disconnect: (): void => void (this.slots = [])
  };
  private listeners: ((kernel: unknown, message: object) => void)[] = [];
  readonly iopubMessage = {
    connect: (slot: (kernel: unknown, message: object) => void, self: unknown): void =>
      void this.listeners.push(slot.bind(self)),
    disconnect: (): void => void (this.listeners = [])
  };
  get listening(): number {
    return this.listeners.length;
  }
  /** A message of some comm arrives. */
  tell(commId: string, type = 'comm_msg'): void {
    for (const listener of this.listeners) {
      listener(this, { header: { msg_type: type }, content: { comm_id: commId, data: { v: 1 } } });
    }
  }
  /** The state of the kernel, as its process or the server tells it. */
  say(state: string, session: string): void {
    for (const listener of this.listeners) {
      listener(this, {
        header: { msg_type: 'status', session },
        content: { execution_state: state }
      });
    }
  }
  requestCommInfo(): Promise<object> {
    this.asked += 1;
    return Promise.resolve({ content: { status: 'ok', comms: this.hellos } });
  }
  createComm(target: string): FakeComm {
    const comm = new FakeComm(target);
    this.comms.push(comm);
    return comm;
  }
  become(status: string): void {
    this.status = status;
    for (const slot of this.slots) {
      slot(this, status);
    }
  }
  get comm(): FakeComm {
    return this.comms.at(-1)!;
  }
}

describe('KernelLink', () => {
  let statuses: Status[];
  let clusters: (ICluster | null)[];
  let known: Set<string>;
  let timers: (() => void)[];
  let deleted: string[];
  let frames: string[];
  let link: KernelLink;

  beforeEach(() => {
    statuses = [];
    clusters = [];
    known = new Set();
    timers = [];
    deleted = [];
    frames = [];
    link = new KernelLink({
      listener: {
        onStatus: status => void statuses.push(status),
        onCluster: cluster => void clusters.push(cluster),
        onFrame: (frame, rows, edges) =>
          void frames.push(`${frame.kind} ${rows.byteLength} ${edges.byteLength}`)
      },
      memory: known,
      subshells: {
        create: () => Promise.resolve('own'),
        delete: (_kernel: unknown, id: string) => void deleted.push(id)
      },
      setTimeout: action => timers.push(action)
    });
  });

  const attach = (kernel: FakeKernel): void =>
    link.attach(kernel as unknown as Kernel.IKernelConnection);

  /** A kernel whose feed runs. */
  async function live(kernel = new FakeKernel('nbray')): Promise<FakeKernel> {
    attach(kernel);
    await settle();
    kernel.comm.startSubshell();
    await settle();
    kernel.comm.deliver(1);
    return kernel;
  }

  it('opens the comm of an nbray kernel only when its subshell has started', async () => {
    const kernel = new FakeKernel('nbray');
    attach(kernel);
    await settle();
    assert.equal(kernel.comm.target, 'nbray.panel');
    assert.equal(kernel.comm.opened, undefined);
    kernel.comm.startSubshell();
    await settle();
    assert.deepEqual(kernel.comm.opened, { v: 1, tasks: false });
    kernel.comm.deliver(1);
    assert.deepEqual(statuses, ['connecting', 'live']);
    assert.deepEqual(clusters, [null]);
    assert.ok(known.has('k1'));
  });

  it('does not wait for a subshell that never comes', async () => {
    const kernel = new FakeKernel('nbray');
    attach(kernel);
    await settle();
    timers.at(-1)!();
    await settle();
    assert.deepEqual(kernel.comm.opened, { v: 1, tasks: false });
  });

  it('does not wait where the kernel has no subshells', async () => {
    const kernel = new FakeKernel('nbray');
    kernel.supportsSubshells = false;
    attach(kernel);
    await settle();
    assert.deepEqual(kernel.comm.opened, { v: 1, tasks: false });
  });

  it('makes a subshell itself where a busy kernel does not say that it has them', async () => {
    const kernel = new FakeKernel('nbray');
    kernel.info = new Promise(() => undefined);
    attach(kernel);
    await settle();
    let through: unknown = undefined;
    timers.shift()!();
    kernel.createComm = target => {
      const comm = new FakeComm(target);
      comm.open = data => {
        through = kernel.subshellId;
        comm.opened = data;
      };
      kernel.comms.push(comm);
      return comm;
    };
    await settle();
    assert.deepEqual(kernel.comm.opened, { v: 1, tasks: false });
    assert.equal(through, 'own');
    assert.equal(kernel.subshellId, null);
    attach(new FakeKernel('nbray', 'k2'));
    assert.deepEqual(deleted, ['own']);
  });

  it('opens no comm in a kernel without nbray', async () => {
    const kernel = new FakeKernel();
    attach(kernel);
    await settle();
    assert.equal(kernel.comms.length, 0);
    assert.deepEqual(statuses, ['asking', 'no-nbray']);
  });

  it('finds nbray in a kernel that loaded it before', async () => {
    const kernel = new FakeKernel();
    kernel.hellos = { abc: { target_name: 'nbray.hello' } };
    await live(kernel);
    assert.deepEqual(statuses, ['asking', 'connecting', 'live']);
  });

  it('hears when a kernel loads nbray, and nothing else', async () => {
    const kernel = new FakeKernel();
    attach(kernel);
    await settle();
    kernel.tell('another');
    kernel.tell('nbray.hello', 'comm_close');
    assert.equal(statuses.at(-1), 'no-nbray');
    kernel.tell('nbray.hello');
    await settle();
    kernel.comm.startSubshell();
    await settle();
    kernel.comm.deliver(1);
    assert.equal(statuses.at(-1), 'live');
  });

  it('does not ask a kernel that it remembers: it may be busy', async () => {
    known.add('k1');
    const kernel = await live(new FakeKernel());
    assert.equal(kernel.asked, 0);
    assert.equal(statuses.at(-1), 'live');
  });

  it('forgets a kernel that closes the comm without a word', async () => {
    known.add('k1');
    const kernel = new FakeKernel();
    attach(kernel);
    await settle();
    kernel.comm.startSubshell();
    await settle();
    kernel.comm.onClose({});
    assert.equal(statuses.at(-1), 'no-nbray');
    assert.ok(!known.has('k1'));
  });

  it('starts again after a restart', async () => {
    const kernel = await live();
    const first = kernel.comm;
    kernel.become('restarting');
    assert.equal(statuses.at(-1), 'restarting');
    assert.ok(first.isDisposed && !first.closed);
    kernel.become('starting');
    kernel.become('idle');
    await settle();
    assert.equal(kernel.comms.length, 2);
    kernel.comm.startSubshell();
    await settle();
    kernel.comm.deliver(1);
    assert.equal(statuses.at(-1), 'live');
  });

  it('asks again after the restart of a kernel that is no nbray kernel', async () => {
    const kernel = new FakeKernel();
    kernel.hellos = { abc: {} };
    await live(kernel);
    kernel.hellos = {};
    kernel.become('restarting');
    kernel.become('idle');
    await settle();
    assert.equal(statuses.at(-1), 'no-nbray');
  });

  it('hears that another client has restarted the kernel', async () => {
    const kernel = await live();
    kernel.say('busy', 'first'); // of the process that it knows
    kernel.say('restarting', 'of the server');
    assert.equal(kernel.comms.length, 1);
    kernel.say('busy', 'second');
    await settle();
    assert.equal(kernel.comms.length, 2);
    assert.ok(kernel.comms[0]!.isDisposed && !kernel.comms[0]!.closed, 'who knew it is gone');
    kernel.comm.startSubshell();
    await settle();
    kernel.comm.process = 'second';
    kernel.comm.deliver(1);
    kernel.say('idle', 'second');
    await settle();
    assert.equal(kernel.comms.length, 2);
    assert.equal(statuses.at(-1), 'live');
  });

  it('says so when the kernel dies', async () => {
    const kernel = await live();
    kernel.become('dead');
    assert.equal(statuses.at(-1), 'no-kernel');
  });

  it('closes the comm of the old kernel and takes no more from it', async () => {
    const old = await live();
    const comm = old.comm;
    attach(new FakeKernel('nbray', 'k2'));
    assert.ok(comm.closed);
    const before = clusters.length;
    comm.deliver(2);
    assert.equal(clusters.length, before);
    assert.equal(old.listening, 0);
  });

  it('takes no message twice and none of the past', async () => {
    const kernel = await live();
    kernel.comm.deliver(3);
    kernel.comm.deliver(3);
    kernel.comm.deliver(2);
    assert.equal(clusters.length, 2);
  });

  it('answers when asked, and only then: a message to the kernel moves its status', async () => {
    const kernel = await live();
    kernel.comm.deliver(2);
    assert.deepEqual(kernel.comm.sent, []);
    kernel.comm.deliver(3, null, 1, true);
    assert.deepEqual(kernel.comm.sent, [{ v: 1, ack: 3 }]);
  });

  it('opens again a little after it was closed in sight', async () => {
    const kernel = await live();
    timers.length = 0;
    kernel.comm.onClose({});
    timers.shift()!();
    await settle();
    assert.equal(kernel.comms.length, 2);
  });

  it('opens another when the kernel says that this one gets no more', async () => {
    const kernel = await live();
    const first = kernel.comm;
    timers.length = 0;
    first.onMsg({ content: { data: { v: 1, seq: 2, over: true } } });
    assert.ok(first.isDisposed && !first.closed);
    timers.shift()!();
    await settle();
    assert.equal(kernel.comms.length, 2);
  });

  it('says when the kernel speaks another version', async () => {
    const kernel = await live();
    kernel.comm.deliver(2, null, 2);
    assert.equal(statuses.at(-1), 'other-version');
  });

  it('tells the kernel when somebody watches the tasks, and reads frames', async () => {
    const kernel = await live();
    link.watchTasks(true);
    link.watchTasks(true);
    link.watchTasks(false);
    assert.deepEqual(kernel.comm.sent.slice(-2), [
      { v: 1, tasks: true },
      { v: 1, tasks: false }
    ]);
    kernel.comm.deliverFrame(2, { kind: 'snapshot', counts: [1] }, [new ArrayBuffer(44)], true);
    assert.deepEqual(frames, ['snapshot 44 0']);
    assert.deepEqual(kernel.comm.sent.at(-1), { v: 1, ack: 2 });
    kernel.comm.deliverFrame(3, { kind: 'nonsense' }, [], false);
    kernel.comm.deliverFrame(2, { kind: 'delta' }, [], false);
    assert.equal(frames.length, 1);
  });

  it('asks for the tasks when it opens the comm anew', async () => {
    link.watchTasks(true);
    const kernel = await live();
    assert.deepEqual(kernel.comm.opened, { v: 1, tasks: true });
  });

  it('asks by number, and says why there is no answer', async () => {
    await assert.rejects(link.request('task', {}), /no connection/);
    const kernel = await live();
    const first = link.request('task', { task: 7 });
    const second = link.request('free', {});
    const third = link.request('nodes', {});
    assert.deepEqual(kernel.comm.sent.slice(-3, -1), [
      { task: 7, v: 1, request: 1, what: 'task' },
      { v: 1, request: 2, what: 'free' }
    ]);
    kernel.comm.onMsg({ content: { data: { v: 1, reply: 2, error: 'No.' } } });
    kernel.comm.onMsg({ content: { data: { v: 1, reply: 1, value: { id: 'a' } } } });
    kernel.comm.onMsg({ content: { data: { v: 1, reply: 99, value: null } } });
    assert.deepEqual(await first, { id: 'a' });
    await assert.rejects(second, /^Error: No\.$/);
    kernel.comm.onClose({});
    await assert.rejects(third, /was lost/);
  });
});
