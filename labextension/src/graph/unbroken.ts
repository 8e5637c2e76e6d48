/** Where a curve of samples is one line. Pure. */

/** Further apart than this nobody looked: what was in between is not known. Nodes are sampled four times a second. */
const GAP_NS = 5e9;

/** The samples, oldest first, in stretches without gaps. */
export function unbroken<S extends { t_ns: number }>(samples: readonly S[]): S[][] {
  const parts: S[][] = [];
  let before = -Infinity;
  for (const sample of samples) {
    if (sample.t_ns - before > GAP_NS) {
      parts.push([]);
    }
    parts.at(-1)!.push(sample);
    before = sample.t_ns;
  }
  return parts;
}
