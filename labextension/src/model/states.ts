/** The visual language of states: one shape, one colour, one word each. Pure. */
import type { TaskState } from '../tokens.js';

/** The shape of a state; drawn by `panels/shapes.tsx`. */
export type Shape = 'dashed-ring' | 'ring' | 'triangle' | 'disc' | 'cross' | 'crossed-ring';

/** One row of the table. */
export interface IStateLook {
  state: TaskState;
  shape: Shape;
  /** The CSS variable with its colour; light and dark values stand in `style/tokens.css`. */
  color: string;
  /** The word beside one task. */
  one: string;
  /** The word beside none or several. */
  many: string;
}

/** All states, in the order in which a task goes through them. */
export const STATES: readonly IStateLook[] = [
  {
    state: 'PENDING_ARGS_AVAIL',
    shape: 'dashed-ring',
    color: '--nbray-wait',
    one: 'waits for input',
    many: 'wait for input'
  },
  {
    state: 'PENDING_NODE_ASSIGNMENT',
    shape: 'ring',
    color: '--nbray-queue',
    one: 'waits for a place',
    many: 'wait for a place'
  },
  { state: 'RUNNING', shape: 'triangle', color: '--nbray-run', one: 'runs', many: 'run' },
  { state: 'FINISHED', shape: 'disc', color: '--nbray-done', one: 'done', many: 'done' },
  { state: 'FAILED', shape: 'cross', color: '--nbray-fail', one: 'failed', many: 'failed' },
  {
    state: 'CANCELLED',
    shape: 'crossed-ring',
    color: '--nbray-cancelled',
    one: 'cancelled',
    many: 'cancelled'
  }
];

/** The order of a state bar: what is over first, then what runs, then what waits. */
export const BAR_ORDER: readonly TaskState[] = [
  'FINISHED',
  'FAILED',
  'CANCELLED',
  'RUNNING',
  'PENDING_NODE_ASSIGNMENT',
  'PENDING_ARGS_AVAIL'
];

/** The word for this many tasks in a state. */
export function stateWord(look: IStateLook, count: number): string {
  return count === 1 ? look.one : look.many;
}
