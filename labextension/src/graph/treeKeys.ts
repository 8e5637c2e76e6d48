/** Which item of a tree a key leads to. Pure. */

/**
 * Up, down, Home and End go through the items as they stand, left goes to the item that this one is below, right to the
 * first one below it. `at`: which has the focus; null: the key leads nowhere.
 */
export function itemAfterKey(key: string, at: number, levels: readonly number[]): number | null {
  const level = levels[at];
  if (level === undefined) {
    return null;
  }
  let above = at - 1;
  while (above >= 0 && levels[above]! >= level) {
    above -= 1;
  }
  const next = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    Home: 0,
    End: levels.length - 1,
    ArrowLeft: above,
    ArrowRight: levels[at + 1] !== undefined && levels[at + 1]! > level ? at + 1 : -1
  }[key];
  return next === undefined || levels[next] === undefined ? null : next;
}
