/** The columns of tasks and the layout of their groups, without a browser. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Camera } from '../graph/camera.js';
import { Layout } from '../graph/layout.js';
import { ROW_BYTES, type IFrame, type IUsageSample } from '../graph/frames.js';
import { DONE, FAILED, RUNNING, SENT } from '../graph/taskStates.js';
import { NO_GROUP, TaskStore } from '../graph/taskStore.js';
import { isFound, nameOf } from '../graph/words.js';

interface IRow {
  index: number;
  func?: number;
  parent?: number;
  worker?: number;
  state?: number;
  attempt?: number;
  start?: number;
  end?: number;
}

function rowsOf(rows: readonly IRow[]): DataView {
  const view = new DataView(new ArrayBuffer(rows.length * ROW_BYTES));
  rows.forEach((row, n) => {
    const at = n * ROW_BYTES;
    view.setUint32(at, row.index, true);
    view.setUint32(at + 4, row.func ?? 0, true);
    view.setInt32(at + 8, row.parent ?? -1, true);
    view.setInt32(at + 12, row.worker ?? -1, true);
    view.setUint8(at + 16, row.state ?? SENT);
    view.setUint16(at + 18, row.attempt ?? 0, true);
    view.setFloat64(at + 20, 1, true);
    view.setFloat64(at + 28, row.start ?? 0, true);
    view.setFloat64(at + 36, row.end ?? 0, true);
  });
  return view;
}

function edgesOf(pairs: readonly [number, number][]): DataView {
  return new DataView(new Uint32Array(pairs.flat()).buffer);
}

function frame(part: Partial<IFrame> = {}): IFrame {
  return {
    kind: 'delta',
    generation: 1,
    functions: [],
    workers: [],
    counts: [0, 0, 0, 0, 0, 0, 0],
    forgotten: 0,
    dropped: 0,
    now: 100,
    wall: 0,
    ...part
  };
}

const NAMES: IFrame['functions'] = [
  [0, 'load', 'task', 'cell-1'],
  [1, 'clean', 'task', 'cell-2']
];
const none = edgesOf([]);

test('rows become columns, groups and counts', () => {
  const store = new TaskStore();
  const rows = rowsOf([
    { index: 0, state: DONE, start: 5, end: 9 },
    { index: 1, state: RUNNING, start: 7, worker: 2 },
    { index: 2, func: 1 }
  ]);
  store.apply(frame({ kind: 'snapshot', functions: NAMES }), rows, edgesOf([[0, 2]]), 0);
  assert.equal(store.count, 3);
  assert.deepEqual(
    store.groups.map(group => [group.function, group.parent, group.tasks]),
    [
      [0, NO_GROUP, [0, 1]],
      [1, NO_GROUP, [2]]
    ]
  );
  assert.equal(store.groups[0]!.counts[DONE], 1);
  assert.equal(store.groups[0]!.counts[RUNNING], 1);
  assert.deepEqual(store.groupEdges, [{ from: 0, to: 1, count: 1 }]);
  assert.equal(store.title(1), 'load[1]');
  assert.deepEqual(store.neighbours(0), { inputs: [], outputs: [2] });
  assert.equal(store.end[0], 9);
});

test('a state that changes moves the counts and nothing else', () => {
  const store = new TaskStore();
  store.apply(frame({ kind: 'snapshot', functions: NAMES }), rowsOf([{ index: 0 }]), none, 0);
  const shape = store.shapeVersion;
  store.apply(frame(), rowsOf([{ index: 0, state: FAILED }]), none, 0);
  assert.equal(store.groups[0]!.counts[SENT], 0);
  assert.equal(store.groups[0]!.counts[FAILED], 1);
  assert.equal(store.shapeVersion, shape);
});

test('tasks that a task starts are a group of their own, recursion is not', () => {
  const store = new TaskStore();
  const rows = rowsOf([
    { index: 0, func: 0 },
    { index: 1, func: 1, parent: 0 },
    { index: 2, func: 1 },
    { index: 3, func: 0, parent: 1 },
    { index: 4, func: 1, parent: 3 }
  ]);
  store.apply(frame({ kind: 'snapshot', functions: NAMES }), rows, none, 0);
  assert.deepEqual(Array.from(store.group.subarray(0, 5)), [0, 1, 2, 0, 1]);
  assert.equal(store.groups[1]!.parent, 0);
});

test('a name, a parent or the other end of an edge that comes late', () => {
  const store = new TaskStore();
  const unnamed = rowsOf([
    { index: 0, func: 0xffffffff },
    { index: 1, func: 1 }
  ]);
  store.apply(frame({ kind: 'snapshot', functions: NAMES }), unnamed, edgesOf([[0, 1]]), 0);
  assert.equal(store.group[0], NO_GROUP);
  assert.equal(store.groupEdges.length, 0);
  store.apply(frame(), rowsOf([{ index: 0, func: 0 }]), edgesOf([[0, 1]]), 0);
  assert.equal(store.title(0), 'load[0]');
  assert.equal(store.groupEdges[0]!.count, 2);
  store.apply(frame(), rowsOf([{ index: 1, func: 1, parent: 0 }]), none, 0);
  assert.equal(store.groups[store.group[1]!]!.parent, store.group[0]);
});

test('a snapshot forgets what was there', () => {
  const store = new TaskStore();
  store.apply(frame({ kind: 'snapshot', functions: NAMES }), rowsOf([{ index: 0 }]), none, 0);
  store.apply(frame({ kind: 'snapshot', generation: 2 }), rowsOf([]), none, 0);
  assert.equal(store.count, 0);
  assert.deepEqual(store.groups, []);
  assert.equal(store.generation, 2);
});

test('who started a task may come after it, in the same frame or the next', () => {
  const store = new TaskStore();
  const rows = rowsOf([
    { index: 0, parent: 2 },
    { index: 1, parent: 3 },
    { index: 2, func: 1 }
  ]);
  store.apply(frame({ kind: 'snapshot', functions: NAMES }), rows, none, 0);
  assert.equal(store.groups[store.group[0]!]!.parent, store.group[2]);
  store.apply(frame(), rowsOf([{ index: 3, func: 1 }]), none, 0);
  assert.equal(store.group[1], store.group[0]);
  assert.equal(store.groups.length, 2);
});

test('what is forgotten goes, and the rest keeps its name', () => {
  const store = new TaskStore();
  const rows = rowsOf([
    { index: 0, state: DONE },
    { index: 1, state: RUNNING },
    { index: 2, func: 1, parent: 0, state: DONE },
    { index: 3, state: DONE },
    { index: 4, func: 1, parent: 1 },
    { index: 5 }
  ]);
  const edges = edgesOf([
    [0, 3],
    [1, 5],
    [3, 5]
  ]);
  store.apply(frame({ kind: 'snapshot', functions: NAMES }), rows, edges, 0);
  const { epoch } = store;
  const delta = frame({ generation: 2, forget: [[3, 1]] });
  assert.ok(store.follows(delta) && !store.follows(frame({ generation: 2 })));
  store.apply(delta, rowsOf([{ index: 4, state: RUNNING }]), none, 0);
  assert.deepEqual(
    [0, 1, 2, 3, 4].map(task => store.title(task)),
    ['load[1]', 'load[2]', 'clean[1]', 'load[3]', 'load[4]']
  );
  assert.deepEqual([store.generation, store.epoch], [2, epoch]);
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map(task => store.moved(task)),
    [null, 0, null, 1, 2, 3]
  );
  assert.deepEqual([...store.state.subarray(0, 4)], [RUNNING, DONE, SENT, SENT]);
  assert.deepEqual(store.edges, [0, 3, 1, 3]);
  assert.equal(store.parent[2], 0);
  assert.deepEqual(
    store.groups.map(group => group.tasks),
    [[0, 1, 3, 4], [2]]
  );
  assert.equal(store.groups[0]!.counts[DONE], 1);
  // The last of a function: groups are made anew, in two steps at once.
  const twice = [[1], [2, 0]];
  store.apply(frame({ generation: 3, forget: twice }), rowsOf([]), none, 0);
  assert.deepEqual(
    [0, 1, 2].map(task => store.title(task)),
    ['load[2]', 'load[3]', 'load[4]']
  );
  assert.deepEqual(
    [0, 1, 2, 3, 4].map(task => store.moved(task)),
    [null, 0, null, 1, 2]
  );
  assert.equal(store.epoch, epoch + 1);
  assert.deepEqual(store.groupEdges, []);
});

test('groups that become one, as those who started their tasks are forgotten, share no number', () => {
  const store = new TaskStore();
  const rows = rowsOf([
    { index: 0, state: DONE },
    { index: 1, func: 1, parent: 0 },
    { index: 2, func: 1, parent: 0 },
    { index: 3, func: 1 },
    { index: 4, func: 1 },
    { index: 5, func: 1, parent: 9 } // who starts it comes later
  ]);
  store.apply(frame({ kind: 'snapshot', functions: NAMES }), rows, none, 0);
  const titles = (): string[] =>
    Array.from({ length: store.count }, (_, task) => store.title(task));
  assert.deepEqual(titles().slice(0, 5), [
    'load[0]',
    'clean[0]',
    'clean[1]',
    'clean[0]',
    'clean[1]'
  ]);
  store.apply(frame({ generation: 2, forget: [[1]] }), rowsOf([{ index: 5, func: 1 }]), none, 0);
  assert.deepEqual(titles(), [
    'clean[0]',
    'clean[1]',
    'clean[2]',
    'clean[3]',
    'clean[4]',
    'clean[5]'
  ]);
  assert.equal(new Set(titles()).size, store.count);
  // One of the first leaves for another group: its number goes to no second task.
  store.apply(frame({ generation: 2 }), rowsOf([{ index: 0 }, { index: 6, func: 1 }]), none, 0);
  assert.equal(new Set(titles()).size, store.count);
});

test('a hundred thousand tasks', () => {
  const store = new TaskStore();
  const rows = rowsOf(Array.from({ length: 100_000 }, (_, index) => ({ index, func: index % 2 })));
  store.apply(frame({ kind: 'snapshot', functions: NAMES }), rows, none, 0);
  assert.equal(store.count, 100_000);
  assert.equal(store.groups[0]!.tasks.length, 50_000);
});

test('samples are kept in order and never twice', () => {
  const store = new TaskStore();
  const sample = (number: number): IUsageSample => ({
    number,
    t_ns: number,
    cpu: 0,
    memory_used: 0,
    memory_total: 0,
    store_used: 0,
    gpus: []
  });
  store.apply(frame({ usage: [sample(1), sample(2)] }), rowsOf([]), none, 0);
  store.apply(frame({ usage: [sample(2), sample(3)] }), rowsOf([]), none, 0);
  assert.deepEqual(
    store.usage.map(s => s.number),
    [1, 2, 3]
  );
});

test('what the kernel sends may be cut or wrong', () => {
  const store = new TaskStore();
  const cut = new DataView(
    rowsOf([{ index: 0, state: 99 }, { index: 1 }]).buffer,
    0,
    ROW_BYTES + 7
  );
  store.apply(frame({ kind: 'snapshot' }), cut, new DataView(new ArrayBuffer(5)), 0);
  assert.equal(store.count, 1);
  assert.ok(store.state[0]! <= 6);
});

// ---- layout ----

function overlaps(layout: Layout): [number, number][] {
  const found: [number, number][] = [];
  layout.places.forEach((a, i) =>
    layout.places.forEach((b, j) => {
      const apart =
        a.x + a.width <= b.x ||
        b.x + b.width <= a.x ||
        a.y + a.height <= b.y ||
        b.y + b.height <= a.y;
      if (i < j && !apart) {
        found.push([i, j]);
      }
    })
  );
  return found;
}

test('ranks are longest paths', () => {
  const layout = new Layout();
  const [a, b, c] = [0, 1, 2].map(() => layout.addNode(100, 40)) as [number, number, number];
  layout.addEdge(a, b);
  layout.addEdge(b, c);
  layout.addEdge(a, c);
  assert.deepEqual(
    layout.places.map(place => place.rank),
    [0, 1, 2]
  );
  assert.ok(layout.places[c]!.x > layout.places[b]!.x + 100);
});

test('an edge that closes a cycle is left out', () => {
  const layout = new Layout();
  const [a, b] = [layout.addNode(10, 10), layout.addNode(10, 10)];
  assert.equal(layout.addEdge(a, b), true);
  assert.equal(layout.addEdge(b, a), false);
  assert.equal(layout.addEdge(a, a), false);
  assert.deepEqual(
    layout.places.map(place => place.rank),
    [0, 1]
  );
});

test('what has its place keeps it when others come', () => {
  const layout = new Layout();
  const first = Array.from({ length: 5 }, () => layout.addNode(100, 40));
  const where = (): number[][] => layout.places.slice(0, 5).map(({ x, y }) => [x, y]);
  const before = where();
  for (const node of first) {
    const child = layout.addNode(100, 40, [node]);
    layout.addEdge(node, child);
    assert.equal(layout.places[child]!.y, layout.places[node]!.y);
  }
  assert.deepEqual(where(), before);
  assert.deepEqual(overlaps(layout), []);
});

test('a node that opens pushes those below it, and they come back', () => {
  const layout = new Layout();
  const [a, b] = [layout.addNode(100, 40), layout.addNode(100, 40)];
  const y = layout.places[b]!.y;
  layout.resize(a, 300, 400);
  assert.ok(layout.places[b]!.y >= 400);
  assert.deepEqual(overlaps(layout), []);
  layout.resize(a, 100, 40);
  assert.equal(layout.places[b]!.y, y);
});

test('nothing overlaps, whatever comes in whatever order', () => {
  let seed = 7;
  const chance = (n: number): number => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed % n;
  };
  for (let round = 0; round < 20; round++) {
    const layout = new Layout();
    for (let step = 0; step < 150; step++) {
      const n = layout.places.length;
      const what = chance(4);
      if (n < 2 || what < 2) {
        layout.addNode(
          60 + chance(100),
          20 + chance(60),
          n > 0 && chance(3) > 0 ? [chance(n)] : []
        );
      } else if (what === 2) {
        layout.addEdge(chance(n), chance(n));
      } else {
        layout.resize(chance(n), 60 + chance(200), 20 + chance(200));
      }
    }
    assert.deepEqual(overlaps(layout), [], `round ${round}`);
  }
});

test('ten thousand nodes', () => {
  const layout = new Layout();
  for (let n = 0; n < 10_000; n++) {
    layout.addNode(8, 8, n >= 100 ? [n - 100] : []);
    if (n >= 100) {
      layout.addEdge(n - 100, n);
    }
  }
  assert.equal(layout.places.length, 10_000);
  assert.ok(layout.places.every((place, n) => place.rank === Math.floor(n / 100)));
});

test('a graph that has no room is shown from its beginning, as large as it can be read; as a whole when that is wanted', () => {
  const camera = new Camera();
  const box = { x: 0, y: 0, width: 10_000, height: 500 };
  camera.least = 0.3;
  camera.fit(box, 500, 400, 20);
  assert.deepEqual([camera.scale, camera.x, camera.isCut, camera.touched], [0.3, 20, true, false]);
  camera.least = 0;
  camera.fit(box, 500, 400, 20);
  assert.deepEqual([camera.scale, camera.isCut], [0.046, false]);
});

test('a search finds a group by its name, by one of its tasks, and by what its tasks do', () => {
  const store = new TaskStore();
  const rows = rowsOf([
    { index: 0, state: DONE },
    { index: 1, state: DONE },
    { index: 2, func: 1, state: FAILED }
  ]);
  store.apply(frame({ kind: 'snapshot', functions: NAMES }), rows, none, 0);
  const found = (query: string): string[] =>
    store.groups.filter(group => isFound(store, group, query)).map(group => nameOf(store, group));
  assert.deepEqual(found(' Load '), ['load']);
  assert.deepEqual(found('load[1]'), ['load']);
  assert.deepEqual(found('load['), ['load']);
  assert.deepEqual(found('load[2]'), []);
  assert.deepEqual(found('[0'), ['load', 'clean']);
  assert.deepEqual(found('failed'), ['clean']);
  assert.deepEqual(found('other'), []);
});
