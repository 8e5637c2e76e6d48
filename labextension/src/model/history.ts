/** The last minute of a few figures, and the line that shows it. Pure. */
import type { ICluster, ISample } from '../tokens.js';

/** How far back the lines go. */
export const SPAN_MS = 60_000;

/** The figures of a cluster that have a line. */
export function sampleOf(cluster: ICluster, time: number): ISample {
  return { time, cpus: cluster.cpus_used, gpus: cluster.gpus_used, store: cluster.store_used };
}

/**
 * The history with one more sample, without those that no longer matter.
 *
 * The kernel sends changes only, so a value holds until the next sample: the newest one older than
 * the span is kept, because it says what the left edge looked like.
 */
export function addSample(history: readonly ISample[], sample: ISample): ISample[] {
  const start = sample.time - SPAN_MS;
  let first = 0;
  while (first + 1 < history.length && history[first + 1]!.time <= start) {
    first += 1;
  }
  return [...history.slice(first), sample];
}

/**
 * One figure as a chart takes it: moments, and the share of `top` that held from each until the next; the last one is now.
 *
 * Empty when nothing is known. Before the first sample there is nothing.
 */
export function sharesOf(
  history: readonly ISample[],
  value: (sample: ISample) => number,
  top: number,
  now: number
): [times: number[], shares: number[]] {
  const times = history.map(({ time }) => time);
  const shares = history.map(one => Math.max(0, Math.min(1, top > 0 ? value(one) / top : 0)));
  return shares.length === 0
    ? [[], []]
    : [
        [...times, now],
        [...shares, shares.at(-1)!]
      ];
}
