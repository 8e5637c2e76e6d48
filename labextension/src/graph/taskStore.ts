/**
 * All tasks of a cluster in columns, fed by binary frames; and their groups.
 *
 * The twin of `nbray/events/task_table.py`; `nbray/notebook/task_stream.py` describes the frames.
 * Pure: imports nothing of JupyterLab.
 */

import { ROW_BYTES, type IFrame, type IUsageSample } from './frames.js';
import { TaskColumns } from './taskColumns.js';
import { Neighbours, movedEdges } from './taskEdges.js';
import { visibleName } from './visibleName.js';
import { N_STATES, WAITS_FOR_INPUT, WAITS_FOR_PLACE } from './taskStates.js';

/** Group of a task whose function is not known yet. */
export const NO_GROUP = -1;

/** How deep groups are told apart by who started them; below that they are one. */
const MAX_DEPTH = 8;

/** A function as its owner named it. */
export interface IFunction {
  /** As a person can read it; and as its owner wrote it. */
  name: string;
  exact: string;
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

/** The columns. Only the first `count` elements of each mean something. */
export class TaskStore extends TaskColumns {
  /** Pairs of tasks: from, to. */
  edges: number[] = [];
  functions: IFunction[] = [];
  workers: string[] = [];
  /** What the actors are called that workers have become; empty: it is none. */
  actors: string[] = [];
  /** And their ids. */
  actorIds: string[] = [];
  groups: IGroup[] = [];
  groupEdges: IGroupEdge[] = [];
  usage: IUsageSample[] = [];
  counts: readonly number[] = new Array<number>(N_STATES).fill(0);
  forgotten = 0;
  /** Tasks that are forgotten, by function: how many by state. */
  gone: ReadonlyMap<number, readonly number[]> = new Map();
  dropped = 0;
  generation = -1;
  /** Moves when groups change their meaning; as long as it stays there are only more of them. */
  epoch = 0;
  /** Moves when the tasks are others: of another cluster, or what is known begins anew. */
  clusterVersion = 0;
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
      // One with the same generation is for a page that fell behind: its indexes mean what they meant.
      this.clusterVersion += Number(frame.generation !== this.generation);
      this.clear();
    }
    this._moved = null;
    frame.forget?.forEach(([end = 0, ...kept]) => this._forget(end, kept));
    this.generation = frame.generation;
    // A snapshot, in one frame or several, tells of the past: when that was is not known.
    this._at = frame.kind === 'snapshot' || frame.more === true || this._rest ? 0 : frame.now;
    this._rest = frame.more === true;
    for (const [index, name, kind, origin] of frame.functions) {
      this.functions[index] = { name: visibleName(name), exact: name, kind, origin };
      this.shapeVersion += 1;
    }
    for (const [index, peer, id, actor] of frame.workers) {
      this.workers[index] = peer;
      this.actorIds[index] = id ?? '';
      this.actors[index] = visibleName(actor ?? '');
    }
    for (let at = 0; at + ROW_BYTES <= rows.byteLength; at += ROW_BYTES) {
      this._row(rows, at);
    }
    this._settle();
    for (let at = 0; at + 8 <= edges.byteLength; at += 8) {
      const edge = [edges.getUint32(at, true), edges.getUint32(at + 4, true)] as const;
      this.edges.push(...edge);
      this._openEdges.push(...edge);
    }
    this._settleEdges();
    if (frame.usage !== undefined) {
      this._sample(frame.usage);
    }
    this.counts = frame.counts;
    this.forgotten = frame.forgotten;
    this.gone = new Map(frame.gone ?? []);
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
    this.actors = [];
    this.actorIds = [];
    this._clearGroups();
    this.usage = [];
    this._neighbours.forget();
    this.counts = new Array<number>(N_STATES).fill(0);
    this.forgotten = 0;
    this.gone = new Map();
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
    return this._neighbours.of(task, this.edges);
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
    const now = this.cutRows(end, kept);
    const gone = this._moved;
    this._moved = gone === null ? now : gone.map(task => (task < 0 ? task : now[task]!));
    this.edges = movedEdges(this.edges, now);
    this._openEdges = movedEdges(this._openEdges, now);
    this._neighbours.forget();
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
      const orphans = this._orphans;
      this._clearGroups();
      const named: number[] = [];
      for (let task = 0; task < this.count; task++) {
        if (this.group[task]! !== NO_GROUP) {
          named.push(task);
        }
      }
      const before = named.map(task => ({
        group: this.group[task]!,
        ordinal: this.ordinal[task]!
      }));
      named.forEach(task => (this.group[task] = NO_GROUP));
      [...named, ...orphans].forEach(task => this._join(task));
      this._settle();
      this._keepNames(named, before, orphans);
      this._openEdges = this.edges.slice();
      this._settleEdges();
    }
  }

  /**
   * Tasks keep their numbers when groups are made anew. Where one takes the tasks of several (those who started them are
   * forgotten), those of the first keep theirs, and the others get new ones: no two have the same.
   */
  private _keepNames(
    tasks: readonly number[],
    before: readonly { group: number; ordinal: number }[],
    orphans: readonly number[]
  ): void {
    const first = new Map<number, number>();
    const others: number[] = [];
    tasks.forEach((task, n) => {
      const group = this.groups[this.group[task]!];
      if (group === undefined) {
        return;
      }
      const was = before[n]!;
      if (!first.has(group.index)) {
        first.set(group.index, was.group);
        group.made = 0;
      }
      if (first.get(group.index) === was.group) {
        this.ordinal[task] = was.ordinal;
        group.made = Math.max(group.made, was.ordinal + 1);
      } else {
        others.push(task);
      }
    });
    others.push(...orphans.filter(task => this.group[task]! !== NO_GROUP));
    others.forEach(task => (this.ordinal[task] = this.groups[this.group[task]!]!.made++));
  }

  private _row(rows: DataView, at: number): void {
    const index = rows.getUint32(at, true);
    while (this.count <= index) {
      this._add();
    }
    const group = this.group[index]!;
    const before = this.state[index]!;
    const state = Math.min(rows.getUint8(at + 16), N_STATES - 1);
    if (before === WAITS_FOR_INPUT && state !== WAITS_FOR_INPUT) {
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
    this.made[index] = rows.getFloat64(at + 44, true);
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
    const index = this.addRow();
    this.state[index] = WAITS_FOR_PLACE;
    this.group[index] = NO_GROUP;
    this.parent[index] = -1;
    this.worker[index] = -1;
    this.attempt[index] = 0;
    this.function[index] = 0xffffffff;
    this.submitted[index] = this.start[index] = this.end[index] = 0;
    this.made[index] = this.ready[index] = 0;
  }

  /** Take a task out of its group: its function or parent has become known (or another). */
  private _leave(index: number, state: number): void {
    const group = this.groups[this.group[index]!];
    if (group === undefined) {
      return;
    }
    group.counts[state]! -= 1;
    const last = group.tasks.pop()!;
    const free = this.ordinal[last]!;
    if (last !== index) {
      const place = this.place[index]!;
      group.tasks[place] = last;
      this.place[last] = place;
      this.ordinal[last] = this.ordinal[index]!;
    }
    if (free === group.made - 1) {
      group.made = free; // else a number is left out
    }
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

  /** Edges whose ends have found their groups count between these. */
  private _settleEdges(): void {
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
  private readonly _neighbours = new Neighbours();
}

/** Ten minutes at four samples a second. */
const MAX_SAMPLES = 2400;
