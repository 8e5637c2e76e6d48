/** The states of a task, as the feed writes them. Pure. */

/** Codes of the column `state`, in the order of a task's life. */
export const WAITS_FOR_INPUT = 0;
export const WAITS_FOR_PLACE = 1;
export const SENT = 2;
export const RUNNING = 3;
export const DONE = 4;
export const FAILED = 5;
export const CANCELLED = 6;
export const N_STATES = 7;

/** States of a task, by their names in the state API. */
export type TaskState =
  | 'PENDING_ARGS_AVAIL'
  | 'PENDING_NODE_ASSIGNMENT'
  | 'RUNNING'
  | 'FINISHED'
  | 'FAILED'
  | 'CANCELLED';

/** How many tasks are in which state. */
export type TaskCounts = Record<TaskState, number>;
