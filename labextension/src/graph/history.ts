/** What happened to a task, and when: the steps of its life as far as they are known. Pure. */
import {
  CANCELLED,
  DONE,
  FAILED,
  RUNNING,
  WAITS_FOR_INPUT,
  WAITS_FOR_PLACE
} from './taskStates.js';
import type { TaskStore } from './taskStore.js';

/** One step: a state from one moment to the next. */
export interface IStep {
  /** Code of the state. */
  state: number;
  /** Milliseconds of the node's clock. */
  from: number;
  /** The same; of the last step of a task that is not over: now. */
  to: number;
}

/** Of more inputs of a task the feed does not tell (`MAX_INPUTS_TOLD`). */
const MAX_INPUTS = 64;

/** When the inputs of a task had come; 0: nobody knows. */
function inputsCame(store: TaskStore, task: number): number {
  const ends = store.neighbours(task).inputs.map(input => store.end[input]!);
  const isKnown = ends.length > 0 && ends.length < MAX_INPUTS && ends.every(end => end > 0);
  return isKnown ? Math.max(...ends) : store.ready[task]!;
}

/** The steps of a task, oldest first; `now`: on the node's clock. What came before its last try is one step, as failed. */
export function stepsOf(store: TaskStore, task: number, now: number): IStep[] {
  const state = store.state[task]!;
  const made = store.made[task]!;
  const [sent, start] = [store.submitted[task]!, store.start[task]!];
  const over = state >= DONE;
  const end = over ? store.end[task]! : now;
  const begin = made > 0 && (sent === 0 || made < sent) ? made : sent;
  const came = inputsCame(store, task);
  const ready = sent > 0 ? Math.min(came, sent) : came; // the page hears of it a little later
  const steps: IStep[] = [];
  const add = (code: number, from: number, to: number): void => {
    if (from > 0 && to >= from) {
      steps.push({ state: code, from, to });
    }
  };
  const placed = start > 0 ? start : end;
  if (store.attempt[task]! > 0 && sent > 0) {
    add(FAILED, made, sent);
    add(WAITS_FOR_PLACE, sent, placed);
  } else if (state === WAITS_FOR_INPUT) {
    add(WAITS_FOR_INPUT, begin, now);
  } else if (ready > 0 && begin > 0 && begin < ready) {
    add(WAITS_FOR_INPUT, begin, Math.min(ready, placed));
    add(WAITS_FOR_PLACE, Math.min(ready, placed), placed);
  } else if (begin > 0) {
    add(WAITS_FOR_PLACE, Math.min(begin, placed), placed);
  }
  if (start > 0 && (state === RUNNING || over)) {
    add(RUNNING, start, end);
  }
  return steps;
}

/** The codes after which nothing more happens. */
export const OVER: readonly number[] = [DONE, FAILED, CANCELLED];

/** A time of day with milliseconds: `10:42:07.123`; `wall`: what to add for the wall clock. */
export function timeOfDay(ms: number, wall: number): string {
  const date = new Date(ms + wall);
  const two = (n: number): string => String(n).padStart(2, '0');
  const milliseconds = String(date.getMilliseconds()).padStart(3, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}
