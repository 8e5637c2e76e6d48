/** Which tasks used a GPU, by samples and by what ran in the process meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gpuUses } from '../graph/gpuUsers.js';
import { ROW_BYTES, type IUsageSample } from '../graph/frames.js';
import { DONE, RUNNING } from '../graph/taskStates.js';
import { TaskStore } from '../graph/taskStore.js';

type Process = IUsageSample['gpus'][number]['processes'][number];

function sampleOf(number: number, ms: number, ...processes: Process[]): IUsageSample {
  const gpu = { index: 0, name: 'A', used: 1, total: 2, utilization: 0.5, processes };
  const [cpu, memory_used, memory_total, store_used] = [0, 0, 1, 0];
  return { number, t_ns: ms * 1e6, cpu, memory_used, memory_total, store_used, gpus: [gpu] };
}

function storeOf(
  tasks: readonly [worker: number, state: number, start: number, end: number][],
  usage: readonly IUsageSample[]
): TaskStore {
  const store = new TaskStore();
  const rows = new DataView(new ArrayBuffer(tasks.length * ROW_BYTES));
  tasks.forEach(([worker, state, start, end], n) => {
    const at = n * ROW_BYTES;
    rows.setUint32(at, n, true);
    rows.setInt32(at + 8, -1, true);
    rows.setInt32(at + 12, worker, true);
    rows.setUint8(at + 16, state);
    rows.setFloat64(at + 28, start, true);
    rows.setFloat64(at + 36, end, true);
  });
  store.apply(
    {
      kind: 'snapshot',
      generation: 1,
      functions: [[0, 'train', 'task', 'cell-a']],
      workers: [
        [0, 'p0'],
        [1, 'p1']
      ],
      counts: [],
      forgotten: 0,
      dropped: 0,
      now: 2_000,
      wall: 0,
      usage
    },
    rows,
    new DataView(new ArrayBuffer(0)),
    0
  );
  return store;
}

const on = (peer: string, name = 'train'): Process => ({ pid: 1, used: 1, name, peer });

test('each use of a GPU has the tasks that ran in its process meanwhile', () => {
  const store = storeOf(
    [
      [0, DONE, 100, 350],
      [0, DONE, 360, 700],
      [1, DONE, 100, 900], // on no GPU
      [0, RUNNING, 1_400, 0]
    ],
    [
      sampleOf(1, 0),
      sampleOf(2, 200, on('p0')),
      sampleOf(3, 400, on('p0')),
      sampleOf(4, 800),
      sampleOf(5, 1_500, on('p0'))
    ]
  );
  assert.deepEqual(
    gpuUses(store, 0, 2_000).map(({ from, to, tasks, row }) => [from, to, tasks, row]),
    [
      [100, 600, [0, 1], 0],
      [1_150, 1_500, [3], 0]
    ]
  );
  assert.deepEqual(gpuUses(store, 1, 2_000), []);
});

test('those at the same time have a row each, and of strangers nothing is told', () => {
  const store = storeOf(
    [
      [0, DONE, 100, 350],
      [1, RUNNING, 100, 0]
    ],
    [
      sampleOf(1, 200, on('p0'), on('p1', 'Trainer'), on('', '')),
      sampleOf(2, 400, on('p1', 'Trainer')),
      sampleOf(3, 600, on('p1', 'Trainer'), on('', 'unknown')),
      sampleOf(4, 800, on('', 'next'), on('', 'unknown'))
    ]
  );
  assert.deepEqual(
    gpuUses(store, 0, 2_000).map(({ name, tasks, row }) => [name, tasks, row]),
    [
      ['train', [0], 0],
      ['Trainer', [1], 1],
      ['unknown', [], 0],
      ['next', [], 1]
    ]
  );
});
