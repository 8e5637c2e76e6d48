/** Reading what the kernel sent: nothing that arrives is trusted to have the right shape. Pure. */
import { STATES } from '../graph/states.js';
import type { IFrame, IUsageSample } from '../graph/frames.js';
import type { ICluster, IFeedMessage, TaskCounts } from '../tokens.js';

/** The comm target that the panel opens. */
export const PANEL_TARGET = 'nbray.panel';

/** Target and id of the comm by which a kernel says that it has loaded nbray, so that the panel need not guess. */
export const HELLO_TARGET = 'nbray.hello';

/** The version of the protocol that this panel speaks. */
export const PROTOCOL_VERSION = 1;

/** The message in `data`, or null when it is none that can be shown. */
export function readFeed(data: unknown): IFeedMessage | null {
  if (!isRecord(data) || typeof data.v !== 'number' || typeof data.seq !== 'number') {
    return null;
  }
  const head = { v: data.v, seq: data.seq, ask: data.ask === true };
  if (data.cluster === null) {
    return { ...head, cluster: null };
  }
  return isRecord(data.cluster) ? { ...head, cluster: readCluster(data.cluster) } : null;
}

/** The answer to a request, by its number. */
export interface IReply {
  number: number;
  value: unknown;
  /** A sentence: why there is no answer. */
  error: string | null;
}

/** The answer in a message, or null when it is none. */
export function readReply(data: unknown): IReply | null {
  if (!isRecord(data) || typeof data.reply !== 'number') {
    return null;
  }
  const error = typeof data.error === 'string' ? data.error : null;
  return { number: data.reply, value: data.value, error };
}

/** Whether a message says that this comm gets no more. */
export function isOver(data: unknown): boolean {
  return isRecord(data) && data.over === true;
}

/** A message that carries a frame of the tasks. */
export interface IFrameMessage {
  v: number;
  seq: number;
  ask: boolean;
  frame: IFrame;
  rows: DataView;
  edges: DataView;
}

/** The frame in a message, or null when there is none that can be read. */
export function readFrame(data: unknown, buffers: readonly unknown[]): IFrameMessage | null {
  if (!isRecord(data) || typeof data.v !== 'number' || typeof data.seq !== 'number') {
    return null;
  }
  const raw = data.frame;
  if (!isRecord(raw) || (raw.kind !== 'snapshot' && raw.kind !== 'delta')) {
    return null;
  }
  const frame: IFrame = {
    kind: raw.kind,
    generation: amount(raw.generation),
    forget: list(raw.forget).filter(isRows),
    functions: list(raw.functions).filter(isFunction),
    cells: list(raw.cells).filter(isCell),
    workers: list(raw.workers).filter(isWorker),
    counts: list(raw.counts).map(amount),
    forgotten: amount(raw.forgotten),
    gone: list(raw.gone)
      .filter(isIndexed)
      .map(([func, counts]) => [func, list(counts).map(amount)] as const),
    dropped: amount(raw.dropped),
    now: amount(raw.now),
    wall: amount(raw.wall),
    usage: list(raw.usage).filter(isSample),
    printed: amount(raw.printed),
    more: raw.more === true
  };
  const [rows, edges] = [viewOf(buffers[0]), viewOf(buffers[1])];
  return { v: data.v, seq: data.seq, ask: data.ask === true, frame, rows, edges };
}

/** Bytes of a message, in whatever form they come. */
function viewOf(buffer: unknown): DataView {
  if (buffer instanceof ArrayBuffer) {
    return new DataView(buffer);
  }
  if (ArrayBuffer.isView(buffer)) {
    return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }
  return new DataView(new ArrayBuffer(0));
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Frames keep their lists dense: an index that is out of all bounds would make a list of gaps. */
const MAX_INDEX = 1_000_000;

function isRows(rows: unknown): rows is number[] {
  return (
    Array.isArray(rows) &&
    rows.every((row, n) => Number.isInteger(row) && row >= 0 && (n === 0 || row < rows[0]))
  );
}

function isFunction(row: unknown): row is [number, string, string, string] {
  return (
    isIndexed(row) && row.length >= 4 && row.slice(1, 4).every(part => typeof part === 'string')
  );
}

function isCell(row: unknown): row is [string, number, string] {
  return (
    Array.isArray(row) &&
    typeof row[0] === 'string' &&
    typeof row[1] === 'number' &&
    typeof row[2] === 'string'
  );
}

function isWorker(row: unknown): row is [number, string, string?, string?] {
  return (
    isIndexed(row) &&
    typeof row[1] === 'string' &&
    [row[2], row[3]].every(text => text === undefined || typeof text === 'string')
  );
}

function isIndexed(row: unknown): row is [number, ...unknown[]] {
  const index: unknown = Array.isArray(row) ? row[0] : null;
  return typeof index === 'number' && Number.isInteger(index) && index >= 0 && index < MAX_INDEX;
}

function isSample(row: unknown): row is IUsageSample {
  return (
    isRecord(row) &&
    ['number', 't_ns', 'cpu', 'memory_used', 'memory_total', 'store_used'].every(
      name => typeof row[name] === 'number'
    ) &&
    Array.isArray(row.gpus)
  );
}

/** How many tasks there are in all states together. */
export function totalTasks(tasks: TaskCounts): number {
  return STATES.reduce((sum, { state }) => sum + tasks[state], 0);
}

function readCluster(raw: Record<string, unknown>): ICluster {
  const tasks = isRecord(raw.tasks) ? raw.tasks : {};
  return {
    state: typeof raw.state === 'string' ? raw.state : 'running',
    cpus_total: amount(raw.cpus_total),
    cpus_used: amount(raw.cpus_used),
    gpus_total: amount(raw.gpus_total),
    gpus_used: amount(raw.gpus_used),
    store_used: amount(raw.store_used),
    store_capacity: amount(raw.store_capacity),
    workers: amount(raw.workers),
    nodes: amount(raw.nodes),
    actors: amount(raw.actors),
    tasks: Object.fromEntries(
      STATES.map(({ state }) => [state, amount(tasks[state])])
    ) as TaskCounts
  };
}

function amount(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
