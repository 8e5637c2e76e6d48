/** How many tasks of each cell are in which state, and the words of a badge. Pure. */
import { CANCELLED, DONE, FAILED, N_STATES, RUNNING } from '../graph/taskStates.js';
import type { TaskStore } from '../graph/taskStore.js';
import { t } from '../text.js';
import type { TaskState } from '../tokens.js';

/** Tasks by origin, each by state code. */
export function countByOrigin(store: TaskStore): Map<string, Int32Array> {
  const found = new Map<string, Int32Array>();
  for (const group of store.groups) {
    const origin = store.functions[group.function]?.origin ?? '';
    if (origin === '' || group.tasks.length === 0) {
      continue;
    }
    let counts = found.get(origin);
    if (counts === undefined) {
      found.set(origin, (counts = new Int32Array(N_STATES)));
    }
    for (let code = 0; code < N_STATES; code++) {
      counts[code]! += group.counts[code]!;
    }
  }
  return found;
}

/** What a badge shows. */
export interface IBadge {
  state: TaskState;
  /** Beside the shape, short enough for the prompt: `93/400`, `2 failed`, `12k`. */
  text: string;
  /** For a screen reader: `cell 12: 93 of 400 done`. */
  label: string;
}

/** The badge of a cell; null: it has made no tasks. */
export function badgeOf(counts: ArrayLike<number>, cell: number): IBadge | null {
  const count = (code: number): number => counts[code] ?? 0;
  const total = Array.from(counts).reduce((sum, n) => sum + n, 0);
  if (total === 0) {
    return null;
  }
  const [done, failed, cancelled] = [count(DONE), count(FAILED), count(CANCELLED)];
  const over = done + failed + cancelled;
  const rest = [
    count(RUNNING) > 0 ? t('%1 running', count(RUNNING)) : '',
    failed > 0 ? t('%1 failed', failed) : '',
    cancelled > 0 ? t('%1 cancelled', cancelled) : ''
  ].filter(Boolean);
  const label = [t('cell %1: %2 of %3 done', cell, done, total), ...rest].join(', ');
  if (over < total) {
    const state = count(RUNNING) > 0 ? 'RUNNING' : 'PENDING_NODE_ASSIGNMENT';
    return { state, text: `${short(over)}/${short(total)}`, label };
  }
  if (failed > 0) {
    return { state: 'FAILED', text: t('failed'), label };
  }
  return cancelled > 0
    ? { state: 'CANCELLED', text: `${short(cancelled)}/${short(total)}`, label }
    : { state: 'FINISHED', text: short(total), label };
}

/** A count in at most four characters. */
function short(count: number): string {
  if (count < 1_000) {
    return String(count);
  }
  const [unit, letter] = count < 999_500 ? [1_000, 'k'] : [1_000_000, 'M'];
  const value = count / Number(unit);
  return `${value < 9.95 ? Number(value.toFixed(1)) : Math.round(value)}${letter}`;
}
