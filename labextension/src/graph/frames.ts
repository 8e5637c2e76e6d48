/** The frames in which tasks come, as `nbray/notebook/task_stream.py` describes them. Pure. */

/** Bytes of one row: index, function, parent, worker, state, -, attempt, submitted, start, end, made. */
export const ROW_BYTES = 52;

/** What the kernel says of the node at one moment. */
export interface IUsageSample {
  number: number;
  /** CLOCK_MONOTONIC of the node, nanoseconds. */
  t_ns: number;
  cpu: number;
  memory_used: number;
  memory_total: number;
  store_used: number;
  gpus: readonly IGpuSample[];
}

/** One GPU in a sample. */
export interface IGpuSample {
  index: number;
  name: string;
  used: number;
  total: number;
  utilization: number | null;
  /** `peer`: which worker it is, as in `workers`; empty where it is none. */
  processes: readonly { pid: number; used: number; name: string; peer: string }[];
}

/** The header of a frame. */
export interface IFrame {
  kind: 'snapshot' | 'delta';
  generation: number;
  /** Lists of rows: those before the first are gone, but for those that follow it, which come first now. */
  forget?: readonly (readonly number[])[];
  functions: readonly (readonly [number, string, string, string])[];
  /** The cells of these functions that the kernel knows: origin, number, id. */
  cells?: readonly (readonly [origin: string, number: number, cell: string])[];
  workers: readonly (readonly [index: number, peer: string, actorId?: string, actor?: string])[];
  counts: readonly number[];
  forgotten: number;
  /** Of those that were over, by function: how many by state. */
  gone?: readonly (readonly [index: number, counts: readonly number[]])[];
  dropped: number;
  /** Now, on the clock of the tasks' times, milliseconds. */
  now: number;
  /** What to add to it for the time of day, milliseconds. */
  wall: number;
  usage?: readonly IUsageSample[];
  /** Moves when tasks print something. */
  printed?: number;
  /** The rest of a snapshot follows. */
  more?: boolean;
}
