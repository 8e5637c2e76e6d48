/** How many tasks of each cell are in which state, and the words of a badge. Pure. */
import { CANCELLED, DONE, FAILED, N_STATES, RUNNING } from '../graph/taskStates.js';
import type { TaskStore } from '../graph/taskStore.js';
import { t } from '../text.js';
import type { TaskState } from '../tokens.js';

/** Tasks by origin, each by state code; also those that are forgotten. */
export function countByOrigin(store: TaskStore): Map<string, Int32Array> {
  const found = new Map<string, Int32Array>();
  const add = (func: number, some: ArrayLike<number>): void => {
    const origin = store.functions[func]?.origin ?? '';
    if (origin === '') {
      return;
    }
    let counts = found.get(origin);
    if (counts === undefined) {
      found.set(origin, (counts = new Int32Array(N_STATES)));
    }
    for (let code = 0; code < N_STATES; code++) {
      counts[code]! += some[code] ?? 0;
    }
  };
  store.groups.forEach(group => group.tasks.length > 0 && add(group.function, group.counts));
  store.gone.forEach((counts, func) => add(func, counts));
  return found;
}

/** What a badge shows. */
export interface IBadge {
  state: TaskState;
  /** Beside the shape, short enough for the prompt: `93/400`, `14 %`, `failed`, `12k`. */
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
    return { state, text: progress(over, total), label };
  }
  if (failed > 0) {
    return { state: 'FAILED', text: t('failed'), label };
  }
  return cancelled > 0
    ? { state: 'CANCELLED', text: progress(cancelled, total), label }
    : { state: 'FINISHED', text: short(total), label };
}

/** So many of all; where there is no room for both, as a share, which is not all before it is. */
function progress(count: number, total: number): string {
  return total < 1_000 ? `${count}/${total}` : `${Math.floor((100 * count) / total)} %`;
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
