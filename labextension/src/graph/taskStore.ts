/**
 * All tasks of a cluster in columns, fed by binary frames; and their groups.
 *
 * The twin of `nbray/events/task_table.py`; `nbray/notebook/task_stream.py` describes the frames.
 * Pure: imports nothing of JupyterLab.
 */

import { enlarge } from './columns.js';

/** Codes of the column `state`, in the order of a task's life. */
export const WAITS_FOR_INPUT = 0;
export const WAITS_FOR_PLACE = 1;
export const SENT = 2;
export const RUNNING = 3;
export const DONE = 4;
export const FAILED = 5;
export const CANCELLED = 6;
export const N_STATES = 7;

/** Bytes of one row: index, function, parent, worker, state, -, attempt, submitted, start, end. */
export const ROW_BYTES = 44;

/** Group of a task whose function is not known yet. */
export const NO_GROUP = -1;

/** How deep groups are told apart by who started them; below that they are one. */
const MAX_DEPTH = 8;

/** What the kernel says of the node at one moment. */
export interface IUsageSample {
  number: number;
  /** CLOCK_MONOTONIC of the node, nanoseconds. */
  t_ns: number;
  cpu: number;
  memory_used: number;
  memory_total: number;
  store_used: number;
  gpus: readonly IGpuSample[];
}

/** One GPU in a sample. */
export interface IGpuSample {
  index: number;
  name: string;
  used: number;
  total: number;
  utilization: number | null;
  processes: readonly { pid: number; used: number; name: string }[];
}

/** The header of a frame. */
export interface IFrame {
  kind: 'snapshot' | 'delta';
  generation: number;
  /** Lists of rows: those before the first are gone, but for those that follow it, which come first now. */
  forget?: readonly (readonly number[])[];
  functions: readonly (readonly [number, string, string, string])[];
  workers: readonly (readonly [number, string])[];
  counts: readonly number[];
  forgotten: number;
  dropped: number;
  /** Now, on the clock of the tasks' times, milliseconds. */
  now: number;
  /** What to add to it for the time of day, milliseconds. */
  wall: number;
  usage?: readonly IUsageSample[];
  /** The rest of a snapshot follows. */
  more?: boolean;
}

/** A function as its owner named it. */
export interface IFunction {
  name: string;
  kind: string;
  /** The cell that submits it; empty outside of notebooks. */
  origin: string;
}

/** The tasks of one function that tasks of one other group started. */
export interface IGroup {
  index: number;
  function: number;
  /** The group of the tasks that started these; NO_GROUP: the notebook did. */
  parent: number;
  depth: number;
  tasks: number[];
  /** How many it has had, with those that are forgotten. */
  made: number;
  /** Tasks by state. */
  counts: Int32Array;
}

/** Data that goes from the tasks of one group to those of another. */
export interface IGroupEdge {
  from: number;
  to: number;
  count: number;
}

const FIRST_SIZE = 1024;

/** The columns. Only the first `count` elements of each mean something. */
export class TaskStore {
  count = 0;
  state = new Uint8Array(FIRST_SIZE);
  attempt = new Uint16Array(FIRST_SIZE);
  function = new Uint32Array(FIRST_SIZE);
  parent = new Int32Array(FIRST_SIZE);
  worker = new Int32Array(FIRST_SIZE);
  group = new Int32Array(FIRST_SIZE);
  /** Place of a task in its group. */
  place = new Int32Array(FIRST_SIZE);
  /** The same among all that its group has had: its name keeps it. */
  ordinal = new Uint32Array(FIRST_SIZE);
  submitted = new Float64Array(FIRST_SIZE);
  start = new Float64Array(FIRST_SIZE);
  end = new Float64Array(FIRST_SIZE);
  /** When this page first heard of it, and when its inputs had come; 0: before it looked. */
  seen = new Float64Array(FIRST_SIZE);
  ready = new Float64Array(FIRST_SIZE);
  /** Pairs of tasks: from, to. */
  edges: number[] = [];
  functions: IFunction[] = [];
  workers: string[] = [];
  groups: IGroup[] = [];
  groupEdges: IGroupEdge[] = [];
  usage: IUsageSample[] = [];
  counts: readonly number[] = new Array<number>(N_STATES).fill(0);
  forgotten = 0;
  dropped = 0;
  generation = -1;
  /** Moves when groups change their meaning; as long as it stays there are only more of them. */
  epoch = 0;
  /** The node's clock when the last frame was made, and this browser's when it came; milliseconds. */
  now = 0;
  receivedAt = 0;
  wall = 0;
  /** Moves with every frame. */
  version = 0;
  /** Moves when groups or edges between them come, not when tasks change their state. */
  shapeVersion = 0;

  /** Take a frame. `at`: this browser's clock, milliseconds. */
  apply(frame: IFrame, rows: DataView, edges: DataView, at: number): void {
    if (frame.kind === 'snapshot') {
      this.clear();
    }
    this._moved = null;
    frame.forget?.forEach(([end = 0, ...kept]) => this._forget(end, kept));
    this.generation = frame.generation;
    // A snapshot, in one frame or several, tells of the past: when that was is not known.
    this._at = frame.kind === 'snapshot' || frame.more === true || this._rest ? 0 : frame.now;
    this._rest = frame.more === true;
    for (const [index, name, kind, origin] of frame.functions) {
      this.functions[index] = { name, kind, origin };
      this.shapeVersion += 1;
    }
    for (const [index, peer] of frame.workers) {
      this.workers[index] = peer;
    }
    for (let at = 0; at + ROW_BYTES <= rows.byteLength; at += ROW_BYTES) {
      this._row(rows, at);
    }
    this._settle();
    for (let at = 0; at + 8 <= edges.byteLength; at += 8) {
      this._edge(edges.getUint32(at, true), edges.getUint32(at + 4, true));
    }
    if (frame.usage !== undefined) {
      this._sample(frame.usage);
    }
    this.counts = frame.counts;
    this.forgotten = frame.forgotten;
    this.dropped = frame.dropped;
    this.now = frame.now;
    this.wall = frame.wall;
    this.receivedAt = at;
    this.version += 1;
  }

  /** Whether a frame goes on from what is here. */
  follows(frame: IFrame): boolean {
    const { kind, generation, forget } = frame;
    return (
      kind === 'snapshot' ||
      generation === this.generation ||
      (generation === this.generation + 1 && forget !== undefined && forget.length > 0)
    );
  }

  /** The index that a task has since the last frame; null: it is forgotten. */
  moved(task: number): number | null {
    const now = this._moved === null ? task : (this._moved[task] ?? NO_GROUP);
    return now < 0 ? null : now;
  }

  /** Forget everything. */
  clear(): void {
    this.count = 0;
    this.edges = [];
    this.functions = [];
    this.workers = [];
    this._clearGroups();
    this.usage = [];
    this._inputs = null;
    this.counts = new Array<number>(N_STATES).fill(0);
    this.forgotten = 0;
    this.dropped = 0;
    this.generation = -1;
    this.version += 1;
    this.shapeVersion += 1;
  }

  /** The node's clock now, given this browser's. */
  clock(at: number): number {
    return this.now + Math.max(0, at - this.receivedAt);
  }

  /** What a task is called: its function, and its place among those of its group. */
  title(task: number): string {
    const name = this.functions[this.function[task]!]?.name || 'task';
    return this.group[task]! === NO_GROUP ? name : `${name}[${this.ordinal[task]}]`;
  }

  /** The tasks whose results a task takes, and those that take its own. */
  neighbours(task: number): { inputs: number[]; outputs: number[] } {
    if (this._inputs === null || this._inputsUpTo !== this.edges.length) {
      this._inputs = new Map();
      this._outputs = new Map();
      for (let at = 0; at < this.edges.length; at += 2) {
        push(this._inputs, this.edges[at + 1]!, this.edges[at]!);
        push(this._outputs, this.edges[at]!, this.edges[at + 1]!);
      }
      this._inputsUpTo = this.edges.length;
    }
    return { inputs: this._inputs.get(task) ?? [], outputs: this._outputs.get(task) ?? [] };
  }

  private _clearGroups(): void {
    this.groups = [];
    this.groupEdges = [];
    this._groupByKey.clear();
    this._edgeByKey.clear();
    this._openEdges = [];
    this._orphans = [];
    this.epoch += 1;
    this.shapeVersion += 1;
  }

  /** The rows before `end` are gone, but for those that are kept: all others get lower indexes. */
  private _forget(end: number, kept: readonly number[]): void {
    const before = this.count;
    const now = new Int32Array(before).fill(NO_GROUP);
    kept.forEach((task, place) => task < before && (now[task] = place));
    for (let task = end; task < before; task++) {
      now[task] = task - end + kept.length;
    }
    const first = kept.filter(task => task < before);
    for (const name of COLUMNS) {
      const column = this[name];
      first.forEach((task, place) => (column[place] = column[task]!));
      if (end < before) {
        column.copyWithin(kept.length, end, before);
      }
    }
    this.count = end < before ? kept.length + before - end : first.length;
    for (let task = 0; task < this.count; task++) {
      const parent = this.parent[task]!;
      this.parent[task] = parent >= 0 && parent < before ? now[parent]! : -1;
    }
    const gone = this._moved;
    this._moved = gone === null ? now : gone.map(task => (task < 0 ? task : now[task]!));
    this.edges = movedEdges(this.edges, now);
    this._openEdges = movedEdges(this._openEdges, now);
    this._inputs = null;
    this._orphans = this._orphans.map(task => now[task]!).filter(task => task >= 0);
    this._regroup(now);
  }

  /** Groups lose their tasks that are gone; when one has none left, all are made anew. */
  private _regroup(now: Int32Array): void {
    for (const group of this.groups) {
      group.tasks = group.tasks.map(task => now[task]!).filter(task => task >= 0);
      group.counts.fill(0);
      group.tasks.forEach((task, place) => {
        this.place[task] = place;
        group.counts[this.state[task]!]! += 1;
      });
    }
    if (this.groups.some(group => group.tasks.length === 0)) {
      this._clearGroups();
      const named: number[] = [];
      for (let task = 0; task < this.count; task++) {
        if (this.group[task]! !== NO_GROUP) {
          this.group[task] = NO_GROUP;
          named.push(task);
        }
      }
      const ordinals = named.map(task => this.ordinal[task]!);
      named.forEach(task => this._join(task));
      this._settle();
      named.forEach((task, n) => {
        const group = this.groups[this.group[task]!];
        if (group !== undefined) {
          this.ordinal[task] = ordinals[n]!; // its name stays
          group.made = Math.max(group.made, ordinals[n]! + 1);
        }
      });
      const { edges } = this;
      this.edges = [];
      for (let at = 0; at < edges.length; at += 2) {
        this._edge(edges[at]!, edges[at + 1]!);
      }
    }
  }

  private _row(rows: DataView, at: number): void {
    const index = rows.getUint32(at, true);
    while (this.count <= index) {
      this._add();
    }
    const group = this.group[index]!;
    const before = this.state[index]!;
    const state = Math.min(rows.getUint8(at + 16), N_STATES - 1);
    if (before === WAITS_FOR_INPUT && state !== WAITS_FOR_INPUT && this.seen[index]! > 0) {
      this.ready[index] = this._at;
    }
    const func = rows.getUint32(at + 4, true);
    const parent = rows.getInt32(at + 8, true);
    this.state[index] = state;
    this.worker[index] = rows.getInt32(at + 12, true);
    this.attempt[index] = rows.getUint16(at + 18, true);
    this.submitted[index] = rows.getFloat64(at + 20, true);
    this.start[index] = rows.getFloat64(at + 28, true);
    this.end[index] = rows.getFloat64(at + 36, true);
    if (group !== NO_GROUP && func === this.function[index] && parent === this.parent[index]) {
      const counts = this.groups[group]!.counts;
      counts[before]! -= 1;
      counts[state]! += 1;
      return;
    }
    this._leave(index, before);
    this.function[index] = func;
    this.parent[index] = parent;
    if (func < this.functions.length) {
      this._join(index);
    }
  }

  /** Tasks whose starter came after them, in one frame, find their groups: a group is known by that of its starters. */
  private _settle(): void {
    let waiting = this._orphans;
    for (let before = -1; waiting.length !== before;) {
      before = waiting.length;
      this._orphans = [];
      waiting.forEach(task => this._join(task));
      waiting = this._orphans;
    }
    // The rows of some starters come with the next frame; of others not even the function is known.
    this._orphans = waiting.filter(task => this.parent[task]! >= this.count);
    waiting.filter(task => this.parent[task]! < this.count).forEach(task => this._join(task, true));
  }

  private _add(): void {
    if (this.count === this.state.length) {
      this._grow();
    }
    const index = this.count++;
    this.state[index] = WAITS_FOR_PLACE;
    this.group[index] = NO_GROUP;
    this.parent[index] = -1;
    this.worker[index] = -1;
    this.attempt[index] = 0;
    this.function[index] = 0xffffffff;
    this.submitted[index] = this.start[index] = this.end[index] = 0;
    this.seen[index] = this._at;
    this.ready[index] = 0;
  }

  private _grow(): void {
    const size = this.state.length * 2;
    this.state = enlarge(this.state, new Uint8Array(size));
    this.attempt = enlarge(this.attempt, new Uint16Array(size));
    this.function = enlarge(this.function, new Uint32Array(size));
    this.parent = enlarge(this.parent, new Int32Array(size));
    this.worker = enlarge(this.worker, new Int32Array(size));
    this.group = enlarge(this.group, new Int32Array(size));
    this.place = enlarge(this.place, new Int32Array(size));
    this.ordinal = enlarge(this.ordinal, new Uint32Array(size));
    this.submitted = enlarge(this.submitted, new Float64Array(size));
    this.start = enlarge(this.start, new Float64Array(size));
    this.end = enlarge(this.end, new Float64Array(size));
    this.seen = enlarge(this.seen, new Float64Array(size));
    this.ready = enlarge(this.ready, new Float64Array(size));
  }

  /** Take a task out of its group: its function or parent has become known (or another). */
  private _leave(index: number, state: number): void {
    const group = this.groups[this.group[index]!];
    if (group === undefined) {
      return;
    }
    group.counts[state]! -= 1;
    const last = group.tasks.pop()!;
    if (last !== index) {
      const place = this.place[index]!;
      group.tasks[place] = last;
      this.place[last] = place;
      this.ordinal[last] = this.ordinal[index]!;
    }
    group.made -= 1;
    this.group[index] = NO_GROUP;
  }

  /** Put a task into its group; unless `atOnce`, it waits for that of its starter. */
  private _join(index: number, atOnce = false): void {
    if (this.group[index]! !== NO_GROUP) {
      return;
    }
    const func = this.function[index]!;
    const parent = this.parent[index]!;
    const above = parent >= 0 && parent < this.count ? this.group[parent]! : NO_GROUP;
    if (parent >= 0 && above === NO_GROUP && !atOnce) {
      this._orphans.push(index);
      return;
    }
    const group = this.groups[this._groupOf(func, above)]!;
    this.group[index] = group.index;
    this.place[index] = group.tasks.length;
    this.ordinal[index] = group.made++;
    group.tasks.push(index);
    group.counts[this.state[index]!]! += 1;
  }

  /** The group of a function's tasks that tasks of `above` start, made when it is new. */
  private _groupOf(func: number, above: number): number {
    for (let up = above; up !== NO_GROUP; up = this.groups[up]!.parent) {
      // A function that starts itself, by whatever way, stays one group.
      if (this.groups[up]!.function === func) {
        return up;
      }
    }
    if (above !== NO_GROUP && this.groups[above]!.depth >= MAX_DEPTH) {
      above = this.groups[above]!.parent;
    }
    const key = (above + 1) * 2 ** 26 + func;
    let index = this._groupByKey.get(key);
    if (index === undefined) {
      index = this.groups.length;
      this._groupByKey.set(key, index);
      this.groups.push({
        index,
        function: func,
        parent: above,
        depth: above === NO_GROUP ? 0 : this.groups[above]!.depth + 1,
        tasks: [],
        made: 0,
        counts: new Int32Array(N_STATES)
      });
      this.shapeVersion += 1;
    }
    return index;
  }

  private _edge(from: number, to: number): void {
    this.edges.push(from, to);
    this._openEdges.push(from, to);
    const open = this._openEdges;
    this._openEdges = [];
    for (let at = 0; at < open.length; at += 2) {
      const [source, target] = [this._known(open[at]!), this._known(open[at + 1]!)];
      if (source === NO_GROUP || target === NO_GROUP) {
        this._openEdges.push(open[at]!, open[at + 1]!); // until the names of both are known
      } else if (source !== target) {
        this._groupEdge(source, target);
      }
    }
  }

  private _known(task: number): number {
    return task < this.count ? this.group[task]! : NO_GROUP;
  }

  private _groupEdge(from: number, to: number): void {
    const key = from * 2 ** 26 + to;
    const found = this._edgeByKey.get(key);
    if (found !== undefined) {
      found.count += 1;
      return;
    }
    const edge = { from, to, count: 1 };
    this._edgeByKey.set(key, edge);
    this.groupEdges.push(edge);
    this.shapeVersion += 1;
  }

  private _sample(samples: readonly IUsageSample[]): void {
    const last = this.usage.at(-1)?.number ?? 0;
    this.usage.push(...samples.filter(sample => sample.number > last));
    if (this.usage.length > MAX_SAMPLES) {
      this.usage.splice(0, this.usage.length - MAX_SAMPLES);
    }
  }

  /** What the last frame made of the indexes before it; null: they stayed. */
  private _moved: Int32Array | null = null;
  /** The moment of the frame that is being read; 0: it tells of the past. */
  private _at = 0;
  private _rest = false;
  private readonly _groupByKey = new Map<number, number>();
  private readonly _edgeByKey = new Map<number, IGroupEdge>();
  /** Edges whose ends have no group yet. */
  private _openEdges: number[] = [];
  /** Tasks that wait for the group of who started them. */
  private _orphans: number[] = [];
  private _inputs: Map<number, number[]> | null = null;
  private _outputs = new Map<number, number[]>();
  private _inputsUpTo = 0;
}

/** What there is per task. */
const COLUMNS = [
  ...(['state', 'attempt', 'function', 'parent', 'worker', 'group', 'place', 'ordinal'] as const),
  ...(['submitted', 'start', 'end', 'seen', 'ready'] as const)
] as const;

/** Edges between tasks that have other indexes now, but for those of tasks that are gone. */
function movedEdges(edges: readonly number[], now: Int32Array): number[] {
  const left: number[] = [];
  for (let at = 0; at < edges.length; at += 2) {
    const [from, to] = [now[edges[at]!] ?? NO_GROUP, now[edges[at + 1]!] ?? NO_GROUP];
    if (from >= 0 && to >= 0) {
      left.push(from, to);
    }
  }
  return left;
}

/** Ten minutes at four samples a second. */
const MAX_SAMPLES = 2400;

function push(map: Map<number, number[]>, key: number, value: number): void {
  const list = map.get(key);
  if (list === undefined) {
    map.set(key, [value]);
  } else {
    list.push(value);
  }
}
