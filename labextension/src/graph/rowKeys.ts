/** Where a key leads in a list of rows. Pure. */

/** The row after this key, of `count`; null: the key leads nowhere. `at` is -1 before the first step. */
export function rowAfterKey(key: string, at: number, count: number, page: number): number | null {
  const last = count - 1;
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page }[key];
  if (count === 0) {
    return null;
  }
  if (key === 'Home' || key === 'End') {
    return key === 'Home' ? 0 : last;
  }
  return step === undefined ? null : Math.max(0, Math.min(last, at < 0 ? 0 : at + step));
}
