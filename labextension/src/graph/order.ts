/** The order of what a table is sorted by: numbers by size, texts as a person counts. Pure. */

const NATURAL = new Intl.Collator('en', { numeric: true });

/** Negative when `a` comes first. */
export function compare(a: number | string, b: number | string): number {
  if (typeof a === 'string' && typeof b === 'string') {
    return NATURAL.compare(a, b);
  }
  return a < b ? -1 : a > b ? 1 : 0;
}
