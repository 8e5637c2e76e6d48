/** Reads the list of clusters that the server sends: nothing that arrives is trusted to have the right shape. Pure. */
import { readFeed } from './feed.js';
import type { ICluster } from '../tokens.js';

/** A node of a cluster, now. */
export interface INodeNow {
  name: string;
  /** Share of its processors that are busy, 0 to 1; null: not known. */
  cpu: number | null;
  memoryUsed: number;
  memoryTotal: number;
  storeUsed: number;
  gpus: readonly {
    index: number;
    name: string;
    busy: number | null;
    used: number;
    total: number;
  }[];
}

/** A cluster of the server. */
export interface IClusterRow {
  /** Of its session. */
  name: string;
  /** What `nbray.init(address=...)` takes. */
  address: string;
  /** It ends with the notebook or program that began it. */
  ownedByDriver: boolean;
  /** Seconds since the epoch. */
  startedAt: number;
  /** null: it did not answer, `error` says why. */
  figures: ICluster | null;
  nodes: readonly INodeNow[];
  error: string;
}

/** The rows in an answer; whatever is not one is left out. */
export function readClusters(answer: unknown): IClusterRow[] {
  return records(answer)
    .filter(row => typeof row.name === 'string' && typeof row.address === 'string')
    .map(row => ({
      name: row.name as string,
      address: row.address as string,
      ownedByDriver: row.started_by !== 'start',
      startedAt: number(row.started_at),
      figures: readFeed({ v: 1, seq: 1, cluster: row.figures })?.cluster ?? null,
      nodes: records(row.nodes).map(readNode),
      error: typeof row.error === 'string' ? row.error : ''
    }));
}

function readNode(row: Record<string, unknown>): INodeNow {
  const usage = records([row.usage])[0] ?? {};
  return {
    name: typeof row.name === 'string' ? row.name : '',
    cpu: typeof usage.cpu === 'number' ? usage.cpu : null,
    memoryUsed: number(usage.memory_used),
    memoryTotal: number(usage.memory_total),
    storeUsed: number(usage.store_used),
    gpus: records(usage.gpus).map(gpu => ({
      index: number(gpu.index),
      name: typeof gpu.name === 'string' ? gpu.name : '',
      busy: typeof gpu.utilization === 'number' ? gpu.utilization : null,
      used: number(gpu.used),
      total: number(gpu.total)
    }))
  };
}

function records(value: unknown): Record<string, unknown>[] {
  const list = Array.isArray(value) ? value : [];
  return list.filter(
    (row): row is Record<string, unknown> =>
      typeof row === 'object' && row !== null && !Array.isArray(row)
  );
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
