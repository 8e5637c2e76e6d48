/** An order in which nobody stands before what he comes after. Pure. */

/**
 * These in their own order, but each behind those of them that it comes after; where they go round in a circle, whoever is
 * first begins. What else they come after does not matter.
 */
export function parentsFirst(
  ones: readonly number[],
  before: ReadonlyMap<number, readonly number[]>
): number[] {
  const left = new Set(ones);
  const begun = new Set<number>();
  const order: number[] = [];
  for (const one of ones) {
    const open = [one];
    while (open.length > 0) {
      const next = open.at(-1)!;
      const wanted = begun.has(next)
        ? []
        : (before.get(next) ?? []).filter(other => left.has(other) && !begun.has(other));
      begun.add(next);
      if (wanted.length > 0) {
        open.push(...wanted.reverse());
        continue;
      }
      open.pop();
      if (left.delete(next)) {
        order.push(next);
      }
    }
  }
  return order;
}

/** Who comes after whom, as it becomes known. */
export class Before extends Map<number, number[]> {
  add(one: number, after: number): void {
    const known = this.get(after);
    if (known === undefined) {
      this.set(after, [one]);
    } else if (!known.includes(one)) {
      known.push(one);
    }
  }
}
