/** A run as one HTML file that needs nothing else: figures, the graph, groups, tasks. Pure. */
import { FAILED } from '../graph/taskStates.js';
import type { IGroup, TaskStore } from '../graph/taskStore.js';
import { placeName } from '../graph/workerNames.js';
import { countWords, formatDuration, nameOf, wordOf } from '../graph/words.js';
import { formatCount } from '../graph/format.js';
import { t } from '../text.js';
import { escapeMarkup as e } from './escape.js';

/** What a report is made of. */
export interface IReport {
  store: TaskStore;
  /** Of the notebook or cluster. */
  title: string;
  /** As text: when it was made. */
  date: string;
  /** The node's clock, milliseconds. */
  now: number;
  /** The graph, as `graphSvg` makes it. */
  svg: string;
  /** `cell 12`, or nothing. */
  cellOf: (group: IGroup) => string;
  maxTasks: number;
}

const STYLE = `body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#212121;background:#fff}
h1{font-size:1.5em}h2{font-size:1.1em;margin-top:2em}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.2em .8em .2em 0;border-bottom:1px solid #e0e0e0}td.n,th.n{text-align:right}
tr.failed td{color:#a63c00}svg{max-width:100%;height:auto}.dim{color:#666}`;

/** The text of the file. */
export function reportOf(report: IReport): string {
  const { store, title, date, now, svg, cellOf } = report;
  const ran = range(store, now);
  const groups = store.groups.filter(group => group.tasks.length > 0);
  const order = tasksFor(store, report.maxTasks);
  const left = store.count - order.length;
  const count = formatCount(store.count);
  const facts = [
    date,
    ran > 0 ? t('%1 tasks in %2', count, formatDuration(ran)) : t('%1 tasks', count)
  ];
  if (store.forgotten > 0) {
    facts.push(t('%1 older ones are not in it', formatCount(store.forgotten)));
  }
  return (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">' +
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">` +
    `<title>nbray: ${e(title)}</title><style>${STYLE}</style></head><body>` +
    `<h1>${e(title)}</h1><p class="dim">${e(facts.join(' · '))}</p>` +
    `<p>${e(countWords(store.counts).join(', ') || t('no tasks'))}</p>` +
    `<h2>${e(t('Graph'))}</h2>${svg}<h2>${e(t('Functions'))}</h2><table>` +
    heads(
      [t('function'), t('cell')],
      [t('tasks')],
      [t('states')],
      [t('time in all'), t('median')]
    ) +
    groups.map(group => groupRow(store, group, cellOf(group), now)).join('') +
    `</table><h2>${e(t('Tasks'))}</h2><table>` +
    heads([t('task'), t('state'), t('where')], [t('tries'), t('waited'), t('ran')]) +
    order.map(task => taskRow(store, task, now)).join('') +
    `</table>${left > 0 ? `<p class="dim">${e(t('%1 more are not listed.', formatCount(left)))}</p>` : ''}</body></html>\n`
  );
}

/** The head of a table: texts and numbers in turn. */
function heads(...parts: string[][]): string {
  const cells = parts.flatMap((names, n) =>
    names.map(name => `<th${n % 2 === 1 ? ' class="n"' : ''}>${e(name)}`)
  );
  return `<tr>${cells.join('')}</tr>`;
}

function groupRow(store: TaskStore, group: IGroup, cell: string, now: number): string {
  const times = group.tasks
    .filter(task => store.start[task]! > 0)
    .map(task => duration(store, task, now))
    .sort((a, b) => a - b);
  const total = times.reduce((sum, time) => sum + time, 0);
  const median = times[Math.floor(times.length / 2)];
  const numbers = [median === undefined ? undefined : total, median].map(
    time => `<td class="n">${time === undefined ? '' : e(formatDuration(time))}`
  );
  return (
    `<tr${group.counts[FAILED]! > 0 ? ' class="failed"' : ''}><td>${e(nameOf(store, group))}<td>${e(cell)}` +
    `<td class="n">${formatCount(group.tasks.length)}<td>${e(countWords(group.counts).join(', '))}${numbers.join('')}</tr>`
  );
}

function taskRow(store: TaskStore, task: number, now: number): string {
  const word = wordOf(store.state[task]!);
  const begun = store.start[task]! > 0;
  const waited =
    store.submitted[task]! > 0 && begun ? store.start[task]! - store.submitted[task]! : -1;
  const cells = [
    String(store.attempt[task]! + 1),
    waited >= 0 ? formatDuration(waited) : '',
    begun ? formatDuration(duration(store, task, now)) : ''
  ];
  return (
    `<tr${store.state[task] === FAILED ? ' class="failed"' : ''}><td>${e(store.title(task))}<td>${e(word)}<td>${e(placeName(store, task))}` +
    `${cells.map(cell => `<td class="n">${e(cell)}`).join('')}</tr>`
  );
}

function duration(store: TaskStore, task: number, now: number): number {
  const end = store.end[task]! > 0 ? store.end[task]! : now;
  return Math.max(0, end - store.start[task]!);
}

function range(store: TaskStore, now: number): number {
  let [first, last] = [Infinity, 0];
  for (let task = 0; task < store.count; task++) {
    if (store.start[task]! > 0) {
      first = Math.min(first, store.submitted[task]! || store.start[task]!);
      last = Math.max(last, store.end[task]! > 0 ? store.end[task]! : now);
    }
  }
  return last > first ? last - first : 0;
}

/** Those that failed first, then in their order. */
function tasksFor(store: TaskStore, most: number): number[] {
  const failed: number[] = [];
  const others: number[] = [];
  for (let task = 0; task < store.count; task++) {
    (store.state[task] === FAILED ? failed : others).push(task);
  }
  return [...failed, ...others].slice(0, most);
}
