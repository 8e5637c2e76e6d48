/** The calls of actors in an open card: a lane for each actor, its calls side by side. Pure. */
import { ACTOR_CALL } from './actorCalls.js';
import { t } from '../text.js';
import type { IGroup, TaskStore } from './taskStore.js';

/** From lane to lane, beside the height of its calls. */
const LANE_GAP = 6;
/** Actors that have a lane of their own; those after them share the last. */
const MAX_LANES = 100;

/** Lane of calls that no actor has taken yet; and that of the actors beyond `MAX_LANES`. */
export const NOT_TAKEN = -1;
export const OTHERS = -2;

/** The calls that one process has had. */
export interface ILane {
  /** Index of the worker; or NOT_TAKEN, OTHERS. */
  worker: number;
  tasks: number[];
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

/** The lanes of a group; `pitch`: from call to call, `columns`: how few and how many stand in a row. */
export function lanesOf(
  store: TaskStore,
  group: IGroup,
  pitch: number,
  [fewest, most]: readonly [number, number]
): ILanes {
  const byWorker = new Map<number, ILane>();
  for (const task of group.tasks) {
    let worker = store.worker[task]! < 0 ? NOT_TAKEN : store.worker[task]!;
    if (!byWorker.has(worker) && byWorker.size >= MAX_LANES) {
      worker = OTHERS;
    }
    let lane = byWorker.get(worker);
    if (lane === undefined) {
      byWorker.set(worker, (lane = { worker, tasks: [], y: 0, rows: 1 }));
    }
    lane.tasks.push(task);
  }
  // In the order of workers, then the others, then what waits.
  const rank = ({ worker }: ILane): number =>
    worker >= 0 ? worker : worker === OTHERS ? 2 ** 31 : 2 ** 32;
  const lanes = [...byWorker.values()].sort((a, b) => rank(a) - rank(b));
  const longest = Math.max(0, ...lanes.map(lane => lane.tasks.length));
  const columns = Math.min(most, Math.max(fewest, longest));
  let y = 0;
  for (const lane of lanes) {
    lane.tasks.sort((a, b) => store.start[a]! - store.start[b]! || a - b);
    lane.rows = Math.ceil(lane.tasks.length / columns);
    lane.y = y;
    y += lane.rows * pitch + LANE_GAP;
  }
  return { lanes, columns, height: y };
}

/** What the lane of a worker is called. */
export function laneName(worker: number): string {
  if (worker >= 0) {
    return t('worker %1', worker + 1);
  }
  return worker === OTHERS ? t('others') : t('waiting');
}
