/** How long the tasks of a group take. Pure. */
import { DONE } from './taskStates.js';
import type { IGroup, TaskStore } from './taskStore.js';

/** Tasks that are looked at: a picture needs no more, and is drawn often. */
const LOOKED_AT = 200;

/** The median of the times that tasks of a group ran which are done; null: none is. Of many, a part is looked at. */
export function medianMs(store: TaskStore, group: IGroup): number | null {
  if (group.counts[DONE] === 0) {
    return null;
  }
  const step = Math.max(1, Math.floor(group.tasks.length / LOOKED_AT));
  const times: number[] = [];
  for (let n = 0; n < group.tasks.length; n += step) {
    const task = group.tasks[n]!;
    if (store.state[task] === DONE && store.start[task]! > 0) {
      times.push(store.end[task]! - store.start[task]!);
    }
  }
  times.sort((a, b) => a - b);
  return times[times.length >> 1] ?? null;
}
