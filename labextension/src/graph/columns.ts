/** Typed arrays that grow. Pure. */

/** What was in one array, at the beginning of a larger one. */
export function enlarge<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}
