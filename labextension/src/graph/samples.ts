/** A curve of samples: where it is one line, and what it says of a moment. Pure. */

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

/** The sample next to a moment, oldest first; null where nobody looked. */
export function sampleAt<S extends { t_ns: number }>(
  samples: readonly S[],
  t_ns: number
): S | null {
  let [low, high] = [0, samples.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (samples[middle]!.t_ns < t_ns) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const [before, after] = [samples[low - 1], samples[low]];
  const away = (sample: S | undefined): number => Math.abs((sample?.t_ns ?? Infinity) - t_ns);
  const next = away(before) < away(after) ? before : after;
  return next !== undefined && away(next) <= GAP_NS / 2 ? next : null;
}
