/** When the cells of a notebook ran, for the lane of cells on the time axis. Pure. */
import { CANCELLED, DONE } from './taskStates.js';
import type { TaskStore } from './taskStore.js';

/** A run of a cell. */
export interface ICellSpan {
  /** The id of the message that ran it. */
  origin: string;
  /** What stands in brackets before it. */
  number: number;
  /** Milliseconds; the end of one that still runs is null. */
  from: number;
  to: number | null;
  /** Its tasks stand for it: when they run, the cell may be over. */
  isGuess?: true;
}

/** From the first task of an origin to the end of its last, on the clock of the tasks. */
export type ISpansOfTasks = ReadonlyMap<string, { from: number; to: number | null }>;

/** When the tasks of each origin were there. */
export function spansOfTasks(store: TaskStore): ISpansOfTasks {
  const spans = new Map<string, { from: number; to: number | null }>();
  for (let task = 0; task < store.count; task++) {
    const origin = store.functions[store.function[task]!]?.origin ?? '';
    const from = store.submitted[task]! || store.start[task]!;
    if (origin === '' || from === 0) {
      continue;
    }
    const state = store.state[task]!;
    const to = state >= DONE && state <= CANCELLED ? store.end[task]! : null;
    const span = spans.get(origin);
    if (span === undefined) {
      spans.set(origin, { from, to });
    } else {
      span.from = Math.min(span.from, from);
      span.to = span.to === null || to === null ? null : Math.max(span.to, to);
    }
  }
  return spans;
}

/**
 * The runs of cells on the clock of the tasks, oldest first.
 *
 * `ran`: those that this page has seen, on the clock of the day. Of those before it was opened only the
 * tasks tell, and stand for them.
 */
export function cellSpans(
  ran: readonly ICellSpan[],
  ofTasks: ISpansOfTasks,
  wall: number,
  numberOf: (origin: string) => number | null
): ICellSpan[] {
  const spans = ran.map(span => ({
    ...span,
    from: span.from - wall,
    to: span.to === null ? null : span.to - wall
  }));
  const known = new Set(ran.map(span => span.origin));
  for (const [origin, { from, to }] of ofTasks) {
    const number = known.has(origin) ? null : numberOf(origin);
    if (number !== null) {
      spans.push({ origin, number, from, to, isGuess: true });
    }
  }
  return spans.sort((a, b) => a.from - b.from);
}
