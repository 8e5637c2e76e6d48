/** Reading what the kernel sent: nothing that arrives is trusted to have the right shape. Pure. */
import { STATES } from './states.js';
import type { ICluster, IFeedMessage, TaskCounts } from '../tokens.js';

/** The comm target that the panel opens. */
export const PANEL_TARGET = 'nbray.panel';

/** The comm target that a kernel opens when it loads nbray, so that the panel need not guess. */
export const HELLO_TARGET = 'nbray.hello';

/** The version of the protocol that this panel speaks. */
export const PROTOCOL_VERSION = 1;

/** The message in `data`, or null when it is none that can be shown. */
export function readFeed(data: unknown): IFeedMessage | null {
  if (!isRecord(data) || typeof data.v !== 'number' || typeof data.seq !== 'number') {
    return null;
  }
  const head = { v: data.v, seq: data.seq, ask: data.ask === true };
  if (data.cluster === null) {
    return { ...head, cluster: null };
  }
  return isRecord(data.cluster) ? { ...head, cluster: readCluster(data.cluster) } : null;
}

/** How many tasks there are in all states together. */
export function totalTasks(tasks: TaskCounts): number {
  return STATES.reduce((sum, { state }) => sum + tasks[state], 0);
}

function readCluster(raw: Record<string, unknown>): ICluster {
  const tasks = isRecord(raw.tasks) ? raw.tasks : {};
  return {
    state: typeof raw.state === 'string' ? raw.state : 'running',
    cpus_total: amount(raw.cpus_total),
    cpus_used: amount(raw.cpus_used),
    gpus_total: amount(raw.gpus_total),
    gpus_used: amount(raw.gpus_used),
    store_used: amount(raw.store_used),
    store_capacity: amount(raw.store_capacity),
    workers: amount(raw.workers),
    nodes: amount(raw.nodes),
    actors: amount(raw.actors),
    tasks: Object.fromEntries(
      STATES.map(({ state }) => [state, amount(tasks[state])])
    ) as TaskCounts
  };
}

function amount(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
