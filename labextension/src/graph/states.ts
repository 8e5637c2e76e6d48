/** The visual language of states: one shape, one colour, one word each. Pure. */
import { t } from '../text.js';
import type { TaskCounts, TaskState } from './taskStates.js';

/** The shape of a state; drawn by `panels/shapes.tsx`. */
export type Shape = 'dashed-ring' | 'ring' | 'triangle' | 'disc' | 'cross' | 'crossed-ring';

/** One row of the table. */
export interface IStateLook {
  state: TaskState;
  shape: Shape;
  /** The CSS variable with its colour; light and dark values stand in `style/tokens.css`. */
  color: string;
  /** The word beside one task. */
  readonly one: string;
  /** The word beside none or several. */
  readonly many: string;
  /** What stands for it where there is little room; empty: the word is short. */
  readonly short: string;
}

/** A state whose words are said in the language that the page has when they are read. */
class Look implements IStateLook {
  constructor(
    readonly state: TaskState,
    readonly shape: Shape,
    readonly color: string,
    private readonly _one: () => string,
    private readonly _many = _one,
    private readonly _short = (): string => ''
  ) {}

  get one(): string {
    return this._one();
  }

  get many(): string {
    return this._many();
  }

  get short(): string {
    return this._short();
  }
}

/** All states, in the order in which a task goes through them. */
export const STATES: readonly IStateLook[] = [
  new Look(
    'PENDING_ARGS_AVAIL',
    'dashed-ring',
    '--nbray-wait',
    () => t('waits for input'),
    () => t('wait for input'),
    () => t('input')
  ),
  new Look(
    'PENDING_NODE_ASSIGNMENT',
    'ring',
    '--nbray-queue',
    () => t('waits for a place'),
    () => t('wait for a place'),
    () => t('place')
  ),
  new Look(
    'RUNNING',
    'triangle',
    '--nbray-run',
    () => t('runs'),
    () => t('run')
  ),
  new Look('FINISHED', 'disc', '--nbray-done', () => t('done')),
  new Look('FAILED', 'cross', '--nbray-fail', () => t('failed')),
  new Look('CANCELLED', 'crossed-ring', '--nbray-cancelled', () => t('cancelled'))
];

/** The state of the visual language for each code: a task that was sent and does not run waits for its place. */
export const STATE_OF_CODE: readonly TaskState[] = [
  'PENDING_ARGS_AVAIL',
  'PENDING_NODE_ASSIGNMENT',
  'PENDING_NODE_ASSIGNMENT',
  'RUNNING',
  'FINISHED',
  'FAILED',
  'CANCELLED'
];

/** Counts by code as counts by state. */
export function countsOf(counts: readonly number[]): TaskCounts {
  const found = Object.fromEntries(STATES.map(({ state }) => [state, 0])) as TaskCounts;
  counts.forEach((count, code) => {
    const state = STATE_OF_CODE[code];
    if (state !== undefined) {
      found[state] += count;
    }
  });
  return found;
}

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
