/** Which rows a table shows, and in which order. Pure. */
import { compare } from './order.js';

/** Rows of one size, say, stand in the order of their names, as long as there are not too many to look at. */
const MAX_NAMED = 5_000;

/** What is known of a column for that. */
export interface ISortedColumn<R> {
  name: string;
  /** By what it is sorted. */
  key: (row: R) => number | string;
  /** What a search looks into; the key when there is none, nothing when it is null. */
  find?: ((row: R) => string) | null;
}

/** The rows that match, in the order of a column; as they come when no column says so. */
export function ordered<R>(
  rows: readonly R[],
  columns: readonly ISortedColumn<R>[],
  query: string,
  sort: { name: string; down: boolean }
): readonly R[] {
  const words = query.trim().toLowerCase();
  const texts = columns
    .filter(({ find }) => find !== null)
    .map(({ key, find }) => find ?? ((row: R) => String(key(row))));
  const found =
    words === ''
      ? rows
      : rows.filter(row => texts.some(text => text(row).toLowerCase().includes(words)));
  const by = columns.find(column => column.name === sort.name);
  if (by === undefined) {
    return found;
  }
  const keyed = found.map(row => ({ row, key: by.key(row) }));
  const sign = sort.down ? -1 : 1;
  const [{ key: nameOf } = by] = columns;
  const named = keyed.length <= MAX_NAMED && by.name !== columns[0]?.name;
  keyed.sort(
    (a, b) => compare(a.key, b.key) * sign || (named ? compare(nameOf(a.row), nameOf(b.row)) : 0)
  );
  return keyed.map(({ row }) => row);
}

/** Rows that follow one another: the first and the last. */
export type Run = [number, number];

/** The rows for which something holds, as runs. */
export function runsOf(count: number, holds: (row: number) => boolean): Run[] {
  const runs: Run[] = [];
  let isIn = false;
  for (let row = 0; row < count; row++) {
    const here = holds(row);
    if (here && isIn) {
      runs.at(-1)![1] = row;
    } else if (here) {
      runs.push([row, row]);
    }
    isIn = here;
  }
  return runs;
}
