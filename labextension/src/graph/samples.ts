/** Samples as a chart takes them: moments in a row, with nothing at those where nobody looked. Pure. */

/** Further apart than this nobody looked: what was in between is not known. Nodes are sampled four times a second. */
const GAP_MS = 5000;

/** Moments in milliseconds, and what was sampled then; null: nobody looked. */
export interface IMoments<S> {
  times: number[];
  samples: (S | null)[];
}

/**
 * The moments of the samples, oldest first, and moments without one around each stretch.
 *
 * Those stand so far off that the moment next to another time has a sample where that says something of the time.
 */
export function momentsOf<S extends { t_ns: number }>(samples: readonly S[]): IMoments<S> {
  const moments: IMoments<S> = { times: [], samples: [] };
  const add = (time: number, sample: S | null): void => {
    moments.times.push(time);
    moments.samples.push(sample);
  };
  let before = -Infinity;
  for (const sample of samples) {
    const time = sample.t_ns / 1e6;
    if (time - before > GAP_MS) {
      const middle = (before + time) / 2;
      if (moments.times.length > 0) {
        add(Math.min(before + GAP_MS, middle), null);
      }
      add(Math.max(time - GAP_MS, middle), null);
    }
    add(time, sample);
    before = time;
  }
  if (moments.times.length > 0) {
    add(before + GAP_MS, null);
  }
  return moments;
}
