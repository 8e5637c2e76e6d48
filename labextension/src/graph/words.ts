/** What the graph says in words: for titles, hints and screen readers. Pure. */
import { formatCount } from './format.js';
import { classOf } from './lanes.js';
import { medianMs } from './median.js';
import type { ICard } from './cards.js';
import { STATE_OF_CODE, STATES, stateWord, type IStateLook } from './states.js';
import {
  CANCELLED,
  DONE,
  FAILED,
  RUNNING,
  SENT,
  WAITS_FOR_INPUT,
  WAITS_FOR_PLACE
} from './taskStates.js';
import type { IGroup, TaskStore } from './taskStore.js';
import { t } from '../text.js';

/** How the state of this code looks. */
export function lookOf(code: number): IStateLook {
  return STATES.find(({ state }) => state === STATE_OF_CODE[code])!;
}

/** The word for a task in the state of this code. */
export function wordOf(code: number): string {
  return stateWord(lookOf(code), 1);
}

/** `evaluate, 400 tasks, 90 done, 2 running, 41 waiting for a place`. */
export function groupWords(store: TaskStore, group: IGroup): string {
  const counts = group.counts;
  const total = group.tasks.length;
  const parts = [
    nameOf(store, group),
    total === 1 ? t('1 task') : t('%1 tasks', formatCount(total)),
    ...countWords(counts)
  ];
  return parts.join(', ');
}

/** The counts that are not zero, each with its word. */
export function countWords(counts: ArrayLike<number>): string[] {
  const waiting = (counts[WAITS_FOR_PLACE] ?? 0) + (counts[SENT] ?? 0);
  const words: [number, (n: string) => string][] = [
    [counts[DONE] ?? 0, n => t('%1 done', n)],
    [counts[FAILED] ?? 0, n => t('%1 failed', n)],
    [counts[CANCELLED] ?? 0, n => t('%1 cancelled', n)],
    [counts[RUNNING] ?? 0, n => t('%1 running', n)],
    [waiting, n => t('%1 waiting for a place', n)],
    [counts[WAITS_FOR_INPUT] ?? 0, n => t('%1 waiting for input', n)]
  ];
  return words.filter(([n]) => n > 0).map(([n, say]) => say(formatCount(n)));
}

/** The name of a group's function. */
export function nameOf(store: TaskStore, group: IGroup): string {
  return store.functions[group.function]?.name || t('task');
}

/** Whether a search finds a group: by its name, by the name of one of its tasks, or by a state that some of them are in. */
export function isFound(store: TaskStore, group: IGroup, query: string): boolean {
  const words = query.trim().toLowerCase();
  const name = nameOf(store, group).toLowerCase();
  const task = /^(.*)\[(\d+)(\]?)$/.exec(words);
  return (
    `${name}[`.includes(words) ||
    (task !== null &&
      name.endsWith(task[1]!) &&
      group.tasks.some(one => `${store.ordinal[one]}]`.startsWith(task[2]! + task[3]!))) ||
    group.counts.some((count, code) => count > 0 && wordOf(code).toLowerCase().includes(words))
  );
}

/** The name on a card: of its function, or of the class of its actors. */
export function cardName(store: TaskStore, card: ICard): string {
  return card.ofActors
    ? classOf(store, card.groups[0]!) || t('actor')
    : nameOf(store, card.groups[0]!);
}

/** What a card says beside its name; `cell`: `cell 12`, or nothing; `full`: there is room for how long they take. */
export function cardFacts(store: TaskStore, card: ICard, cell: string, full: boolean): string {
  const total = formatCount(card.total);
  const median = full && !card.ofActors ? medianMs(store, card.groups[0]!) : null;
  const lasts = median === null ? '' : t('median %1', formatDuration(median));
  return [card.ofActors ? callWords(card.total) : total, cell, lasts].filter(Boolean).join(' · ');
}

/** `ValueError · 3 failed`; `kindOf`: the class of a group's first error, where it is known. */
export function failureWords(card: ICard, kindOf: (group: IGroup) => string): string {
  const kind = card.groups.map(kindOf).find(Boolean);
  return [kind, t('%1 failed', formatCount(card.counts[FAILED]!))].filter(Boolean).join(' · ');
}

/** `1 call`, `25 calls`. */
export function callWords(count: number): string {
  return count === 1 ? t('1 call') : t('%1 calls', formatCount(count));
}

/** `Trainer, actors, 18 calls, 17 done, 1 running`; of a card of one function, what `groupWords` says. */
export function cardWords(store: TaskStore, card: ICard): string {
  if (!card.ofActors) {
    return groupWords(store, card.groups[0]!);
  }
  const parts = [cardName(store, card), t('actors'), callWords(card.total)];
  return [...parts, ...countWords(card.counts)].join(', ');
}

/** A duration with three digits: `3.2 us`, `38 ms`, `14.2 s`, `3 min 20 s`. */
export function formatDuration(ms: number): string {
  if (ms < 0 || !Number.isFinite(ms)) {
    return '-';
  }
  if (ms < 1) {
    return `${digits(ms * 1000)} us`;
  }
  if (ms < 1000) {
    return `${digits(ms)} ms`;
  }
  if (ms < 120_000) {
    return `${digits(ms / 1000)} s`;
  }
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 120) {
    return `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s`;
  }
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function digits(value: number): string {
  return value < 9.995
    ? String(Number(value.toFixed(2)))
    : value < 99.95
      ? String(Number(value.toFixed(1)))
      : value.toFixed(0);
}

/** The first line of an error, as far as it fits into a sentence. */
export function firstLine(text: string, most = 200): string {
  const line = text.split('\n', 1)[0]!.replace(/\.$/, '');
  return line.length > most ? `${line.slice(0, most)}…` : line;
}
