/** The actors of one class as lanes: a lane for each, its calls side by side. Pure. */
import { ACTOR_CALL } from './actorCalls.js';
import { actorName, byActorName } from './workerNames.js';
import { t } from '../text.js';
import { N_STATES } from './taskStates.js';
import type { IGroup, TaskStore } from './taskStore.js';

/** From lane to lane, beside the height of its calls. */
const LANE_GAP = 6;
/** Actors that have a lane of their own; those after them share the last. */
const MAX_LANES = 100;
/** The same in a card that is closed. */
const MAX_CLOSED = 8;

/** Lane of calls that no actor has taken yet; and that of the actors beyond `MAX_LANES`. */
export const NOT_TAKEN = -1;
export const OTHERS = -2;

/** The calls that one process has had. */
export interface ILane {
  /** Index of the worker; or NOT_TAKEN, OTHERS. */
  worker: number;
  /** Those that are shown, oldest first. */
  tasks: number[];
  /** All of them, and by state. */
  total: number;
  counts: Int32Array;
  /** Where it begins, below the top of the first. */
  y: number;
  /** Rows of calls. */
  rows: number;
}

/** The lanes of one card. */
export interface ILanes {
  lanes: ILane[];
  /** Calls in a row. */
  columns: number;
  height: number;
}

/** Whether the tasks of a group are calls of actors. */
export function isActorGroup(store: TaskStore, group: IGroup): boolean {
  return store.functions[group.function]?.kind === ACTOR_CALL;
}

/** The class of the actors whose method a group is: `Trainer` of `Trainer.train`. */
export function classOf(store: TaskStore, group: IGroup): string {
  const name = store.functions[group.function]?.name ?? '';
  const dot = name.lastIndexOf('.');
  return dot > 0 ? name.slice(0, dot) : name;
}

/**
 * The lanes of some groups; `pitch`: from call to call, `columns`: how few and how many stand in a row.
 *
 * `newest`: one row of the newest calls in each lane, as a card shows them that is closed.
 */
export function lanesOf(
  store: TaskStore,
  groups: readonly IGroup[],
  pitch: number,
  [fewest, most]: readonly [number, number],
  newest = false
): ILanes {
  const byWorker = new Map<number, ILane>();
  const byName = byActorName(store);
  const workers = new Set<number>();
  for (const { tasks } of groups) {
    tasks.forEach(task => store.worker[task]! >= 0 && workers.add(store.worker[task]!));
  }
  const limit = newest ? MAX_CLOSED : MAX_LANES;
  const own = new Set([...workers].sort(byName).slice(0, limit));
  for (const group of groups) {
    for (const task of group.tasks) {
      let worker = store.worker[task]! < 0 ? NOT_TAKEN : store.worker[task]!;
      if (worker !== NOT_TAKEN && !own.has(worker)) {
        worker = OTHERS;
      }
      let lane = byWorker.get(worker);
      if (lane === undefined) {
        lane = { worker, tasks: [], total: 0, counts: new Int32Array(N_STATES), y: 0, rows: 1 };
        byWorker.set(worker, lane);
      }
      lane.tasks.push(task);
      lane.total += 1;
      lane.counts[store.state[task]!]! += 1;
    }
  }
  // In the order of their names, then the others, then what waits.
  const rank = ({ worker }: ILane): number => (worker >= 0 ? 0 : worker === OTHERS ? 1 : 2);
  const lanes = [...byWorker.values()].sort(
    (a, b) => rank(a) - rank(b) || byName(a.worker, b.worker)
  );
  const longest = Math.max(0, ...lanes.map(lane => lane.tasks.length));
  const columns = newest ? fewest : Math.min(most, Math.max(fewest, longest));
  let y = 0;
  for (const lane of lanes) {
    if (newest && lane.tasks.length > 4 * columns) {
      // The newest are among the last of their groups; only these are put into order.
      lane.tasks = lastOf(store, lane.tasks, 4 * columns);
    }
    lane.tasks.sort((a, b) => store.start[a]! - store.start[b]! || a - b);
    if (newest && lane.tasks.length > columns) {
      lane.tasks = lane.tasks.slice(-columns);
    }
    lane.rows = Math.ceil(lane.tasks.length / columns);
    lane.y = y;
    y += lane.rows * pitch + LANE_GAP;
  }
  return { lanes, columns, height: y };
}

/** So many of the tasks that began last, in no order. */
function lastOf(store: TaskStore, tasks: readonly number[], count: number): number[] {
  const found: number[] = [];
  let oldest = -Infinity;
  for (const task of tasks) {
    if (store.start[task]! >= oldest) {
      found.push(task);
      if (found.length >= 4 * count) {
        found.sort((a, b) => store.start[b]! - store.start[a]! || b - a);
        found.length = count;
        oldest = store.start[found[count - 1]!]!;
      }
    }
  }
  return found;
}

/** What a lane is called. */
export function laneName(store: TaskStore, worker: number): string {
  if (worker >= 0) {
    return actorName(store, worker);
  }
  return worker === OTHERS ? t('others') : t('not begun');
}
