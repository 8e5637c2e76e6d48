/** The calls of actors among the tasks: which ran where. Pure. */
import { DONE, FAILED, RUNNING } from './taskStates.js';
import type { TaskStore } from './taskStore.js';

/** The calls that one actor has had. */
export interface ICalls {
  /** Indexes of tasks, oldest first. */
  tasks: number[];
  done: number;
  failed: number;
  running: number;
}

/** Kind of a function that is a method of an actor. */
export const ACTOR_CALL = 'actor_task';

/** The calls by the id of the actor that ran them, in whichever process. */
export function callsByActor(store: TaskStore): Map<string, ICalls> {
  const found = new Map<string, ICalls>();
  for (let task = 0; task < store.count; task++) {
    const worker = store.worker[task]!;
    if (worker < 0 || store.functions[store.function[task]!]?.kind !== ACTOR_CALL) {
      continue;
    }
    const actor = store.actorIds[worker] ?? '';
    let calls = found.get(actor);
    if (calls === undefined) {
      calls = { tasks: [], done: 0, failed: 0, running: 0 };
      found.set(actor, calls);
    }
    calls.tasks.push(task);
    calls.done += Number(store.state[task] === DONE);
    calls.failed += Number(store.state[task] === FAILED);
    calls.running += Number(store.state[task] === RUNNING);
  }
  return found;
}
