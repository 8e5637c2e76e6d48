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

/** Where a step line is drawn: the box, the moment of its right edge, the value of its top. */
export interface IStepBox {
  now: number;
  width: number;
  height: number;
  top: number;
}

/**
 * The corners of the step line of one figure, as `[x, y]`, from left to right.
 *
 * Empty when nothing is known. Before the first sample there is no line.
 */
export function stepLine(
  history: readonly ISample[],
  value: (sample: ISample) => number,
  box: IStepBox
): [number, number][] {
  const { now, width, height, top } = box;
  const x = (time: number): number => Math.max(0, Math.min(1, 1 - (now - time) / SPAN_MS)) * width;
  const y = (amount: number): number =>
    height * (1 - Math.max(0, Math.min(1, top > 0 ? amount / top : 0)));
  const corners: [number, number][] = [];
  for (const sample of history) {
    const last = corners.at(-1);
    const here: [number, number] = [x(sample.time), y(value(sample))];
    if (last !== undefined) {
      corners.push([here[0], last[1]]);
    }
    corners.push(here);
  }
  const last = corners.at(-1);
  if (last !== undefined) {
    corners.push([width, last[1]]);
  }
  return corners;
}
