/** Which tasks used a GPU, and when: who was on it in which samples, and what ran there meanwhile. Pure. */
import type { IGpuSample, IUsageSample } from './frames.js';
import { RUNNING } from './taskStates.js';
import type { TaskStore } from './taskStore.js';

/** Users at the same time that have a row each; those beyond share the last. */
const MAX_ROWS = 4;

/** A process on a GPU, from its first to its last sample in a row. */
export interface IGpuUse {
  /** The task or actor that it was lent for. */
  name: string;
  /** Milliseconds of the store's clock; what happened between two samples is not known, so half of that is added. */
  from: number;
  to: number;
  row: number;
  /** What ran there in that time, oldest first; none: nothing is known of it. */
  tasks: number[];
}

interface IOpenUse extends IGpuUse {
  peer: string;
  /** Index of the last sample that it is in. */
  last: number;
}

/** The uses of the n-th GPU of the samples, by the store's own tasks. */
export function gpuUses(store: TaskStore, n: number, now: number): IGpuUse[] {
  const uses: IOpenUse[] = [];
  const open = new Map<string, IOpenUse>();
  const { usage } = store;
  usage.forEach((sample, index) => {
    const time = sample.t_ns / 1e6;
    const before = index > 0 ? (usage[index - 1]!.t_ns / 1e6 + time) / 2 : time;
    const here = new Map(
      processesOn(sample, n).map(one => [`${one.peer || one.pid} ${one.name}`, one])
    );
    for (const [key, use] of open) {
      if (use.last === index - 1 && here.has(key)) {
        use.last = index; // goes on
      } else if (use.last === index - 1) {
        use.to = before; // it ended between the two
      }
    }
    for (const [key, { peer, name }] of here) {
      if (open.get(key)?.last !== index) {
        const taken = [...open.values()].filter(({ last }) => last === index);
        const row = freeRow(taken.map(one => one.row));
        const fresh = { name, from: before, to: time, row, tasks: [], peer, last: index };
        uses.push(fresh);
        open.set(key, fresh);
      }
    }
    for (const use of open.values()) {
      if (use.last === index) {
        use.to = time;
      }
    }
  });
  if (uses.length > 0) {
    findTasks(store, uses, now);
  }
  return uses;
}

/** The processes of this cluster on a GPU; a stranger's have no name. */
function processesOn(sample: IUsageSample, n: number): IGpuSample['processes'] {
  return (sample.gpus[n]?.processes ?? []).filter(({ name }) => name !== '');
}

function freeRow(taken: readonly number[]): number {
  for (let row = 0; row < MAX_ROWS - 1; row++) {
    if (!taken.includes(row)) {
      return row;
    }
  }
  return MAX_ROWS - 1;
}

/** Give each use the tasks that ran in its process meanwhile. */
function findTasks(store: TaskStore, uses: readonly IOpenUse[], now: number): void {
  const byWorker = new Map<number, IGpuUse[]>();
  for (const use of uses) {
    const worker = use.peer ? store.workers.indexOf(use.peer) : -1;
    if (worker >= 0) {
      byWorker.set(worker, [...(byWorker.get(worker) ?? []), use]);
    }
  }
  for (let task = 0; byWorker.size > 0 && task < store.count; task++) {
    const start = store.start[task]!;
    const end = store.state[task] === RUNNING ? now : store.end[task]!;
    const found = start > 0 ? byWorker.get(store.worker[task]!) : undefined;
    found?.filter(use => start < use.to && end > use.from).forEach(use => use.tasks.push(task));
  }
  uses.forEach(use => use.tasks.sort((a, b) => store.start[a]! - store.start[b]!));
}
