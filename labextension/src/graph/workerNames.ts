/** What a process is called: one name in all views. Pure. */
import { ACTOR_CALL } from './actorCalls.js';
import { compare } from './order.js';
import type { TaskStore } from './taskStore.js';
import { t } from '../text.js';

/** `worker 3`, in the order in which workers were first heard of. */
export function workerName(worker: number): string {
  return t('worker %1', worker + 1);
}

/** What the actor is called that a worker has become (`Trainer 2`, or the name it was given); else its worker. */
export function actorName(store: TaskStore, worker: number): string {
  return store.actors[worker] || workerName(worker);
}

/** Where a task runs or ran; empty: nowhere yet. What a worker ran before it became an actor, it ran as a worker. */
export function placeName(store: TaskStore, task: number): string {
  const worker = store.worker[task]!;
  if (worker < 0) {
    return '';
  }
  const isCall = store.functions[store.function[task]!]?.kind === ACTOR_CALL;
  return isCall ? actorName(store, worker) : workerName(worker);
}

/** What a process is called that holds something: as its lane; one that has run nothing is told by what it is. */
export function processName(
  store: TaskStore,
  process: { peer: string; name: string; pid: number }
): string {
  const { peer, name, pid } = process;
  const worker = peer === '' ? -1 : store.workers.indexOf(peer);
  if (worker >= 0) {
    return actorName(store, worker);
  }
  return pid > 0 ? t('%1 (process %2)', name, pid) : name;
}

/** The order of actors: by name, `Trainer 10` after `Trainer 9`. */
export function byActorName(store: TaskStore): (a: number, b: number) => number {
  return (a, b) => compare(actorName(store, a), actorName(store, b)) || a - b;
}
