/** Lanes of actors and objects in the graph, without a browser. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOT_TAKEN, OTHERS, laneName, lanesOf } from '../graph/lanes.js';
import { objectNodes, type IStoredObject } from '../graph/objectNodes.js';
import { callsByActor } from '../graph/actorCalls.js';
import { graphSvg } from '../exports/graphSvg.js';
import { traceOf } from '../exports/trace.js';
import { placeName, processName } from '../graph/workerNames.js';
import { Camera } from '../graph/camera.js';
import type { ICard } from '../graph/cards.js';
import { minimapPlace } from '../graph/minimapPlace.js';
import { Scene } from '../graph/scene.js';
import { cardWords } from '../graph/words.js';
import { ROW_BYTES, type IFrame } from '../graph/frames.js';
import { DONE, FAILED, RUNNING, SENT } from '../graph/taskStates.js';
import { NO_GROUP, TaskStore } from '../graph/taskStore.js';

const COLORS = {
  states: Array<string>(7).fill('#123'),
  background: '#fff',
  line: '#ccc',
  faint: '#eee',
  text: '#000',
  dim: '#666',
  failSoft: '#fed'
};

type Row = readonly [func: number, worker: number, state: number, start: number, parent?: number];

function storeOf(rows: readonly Row[], edges: readonly number[] = []): TaskStore {
  const store = new TaskStore();
  update(store, 'snapshot', rows, edges);
  return store;
}

const FRAME: IFrame = {
  kind: 'snapshot',
  generation: 1,
  functions: [
    [0, 'Counter.count', 'actor_task', 'cell-1'],
    [1, 'load', 'task', 'cell-1'],
    [2, 'train', 'task', 'cell-2'],
    [3, 'Counter.reset', 'actor_task', 'cell-1'],
    [4, 'best', 'task', 'cell-2']
  ],
  workers: [],
  counts: [0, 0, 0, 0, 0, 0, 0],
  forgotten: 0,
  dropped: 0,
  now: 100,
  wall: 0
};
const NOTHING = new DataView(new ArrayBuffer(0));

function update(
  store: TaskStore,
  kind: IFrame['kind'],
  rows: readonly Row[],
  edges: readonly number[] = []
): void {
  const view = new DataView(new ArrayBuffer(rows.length * ROW_BYTES));
  rows.forEach(([func, worker, state, start, parent = -1], index) => {
    const at = index * ROW_BYTES;
    view.setUint32(at, index, true);
    view.setUint32(at + 4, func, true);
    view.setInt32(at + 8, parent, true);
    view.setInt32(at + 12, worker, true);
    view.setUint8(at + 16, state);
    view.setFloat64(at + 28, start, true);
  });
  store.apply({ ...FRAME, kind }, view, new DataView(new Uint32Array(edges).buffer), 0);
}

test('each actor has a lane, its calls in the order in which they ran; what waits comes last', () => {
  const store = storeOf([
    [0, 4, DONE, 30],
    [0, -1, SENT, 0],
    [0, 2, DONE, 20],
    [0, 4, RUNNING, 10]
  ]);
  const { lanes, columns, height } = lanesOf(store, store.groups, 12, [12, 80]);
  assert.deepEqual(
    lanes.map(({ worker, tasks }) => [worker, tasks]),
    [
      [2, [2]],
      [4, [3, 0]],
      [NOT_TAKEN, [1]]
    ]
  );
  assert.equal(columns, 12);
  assert.ok(lanes[1]!.y >= 12 && height > lanes[2]!.y);
  assert.deepEqual(
    [2, NOT_TAKEN, OTHERS].map(worker => laneName(store, worker)),
    ['worker 3', 'not begun', 'others']
  );
});

test('long lanes break into rows, and of very many actors the rest share one', () => {
  const rows = Array.from({ length: 1000 }, (_, n): Row => [0, n < 300 ? 0 : n, DONE, n]);
  const store = storeOf(rows);
  const { lanes, columns } = lanesOf(store, store.groups, 12, [12, 80]);
  assert.equal(columns, 80);
  assert.equal(lanes[0]!.rows, Math.ceil(300 / 80));
  assert.equal(lanes.at(-1)!.worker, OTHERS);
  assert.equal(
    lanes.reduce((sum, lane) => sum + lane.tasks.length, 0),
    1000
  );
  // A closed card: a row of the newest each, and how many there are.
  const closed = lanesOf(store, store.groups, 12, [12, 80], true).lanes;
  assert.deepEqual([closed.length, closed[0]!.rows, closed[0]!.total], [9, 1, 300]);
  assert.deepEqual(
    closed[0]!.tasks,
    [...Array(12).keys()].map(n => 288 + n)
  );
});

test('a closed card has the first actors by name, whoever took a call first', () => {
  const store = storeOf(Array.from({ length: 10 }, (_, n): Row => [0, 9 - n, DONE, n]));
  const { lanes } = lanesOf(store, store.groups, 12, [12, 80], true);
  assert.deepEqual(
    lanes.map(({ worker, total }) => [worker, total]),
    [...[0, 1, 2, 3, 4, 5, 6, 7].map(worker => [worker, 1]), [OTHERS, 2]]
  );
});

test('the methods of a class share one card, which has the lanes of its actors', () => {
  const store = storeOf(
    [
      [0, 0, DONE, 1],
      [3, 0, RUNNING, 2],
      [0, 1, DONE, 3],
      [1, 2, DONE, 0]
    ],
    [3, 0, 0, 1] // load -> count -> reset
  );
  const scene = new Scene(store);
  scene.sync();
  assert.deepEqual(
    scene.cards.map(card => [cardWords(store, card), card.groups.length]),
    [
      ['Counter, actors, 3 calls, 2 done, 1 running', 2],
      ['load, 1 task, 1 done', 1]
    ]
  );
  assert.equal(scene.places[0], scene.places[1]);
  assert.equal(scene.edges.length, 1); // those inside the card are not drawn
  assert.deepEqual(
    scene.lanes(1)!.lanes.map(({ worker, tasks }) => [worker, tasks]),
    [
      [0, [0, 1]],
      [1, [2]]
    ]
  );
  const spot = scene.spot(1)!; // in its lane without being opened
  assert.deepEqual(scene.hit(spot.x, spot.y), { group: store.group[1], task: 1 });
  store.actors[0] = '<b>0';
  const { svg } = graphSvg(store, {
    colors: COLORS,
    cellOf: () => '',
    objects: objectNodes(store, [put(40, { names: ['<i>weights'], takers: [3] })]),
    objectWords: ({ name }) => ({ name, facts: 'cell 1' })
  });
  for (const words of [
    '&lt;b&gt;0',
    '&lt;i&gt;weights',
    '40 B · cell 1',
    'Counter.reset[0], runs'
  ]) {
    assert.ok(svg.includes(words), words);
  }
  assert.ok(!svg.includes('<b>') && !svg.includes('<i>'));
});

test('in an open card of calls every call is found where it is drawn, also after it has moved', () => {
  const store = storeOf([
    [0, 0, DONE, 1],
    [0, -1, SENT, 0],
    [0, 1, RUNNING, 2]
  ]);
  const scene = new Scene(store);
  scene.sync();
  scene.toggle(0);
  const places = (): (number | null | undefined)[] =>
    [0, 1, 2].map(task => {
      const spot = scene.spot(task)!;
      return scene.hit(spot.x, spot.y)?.task;
    });
  assert.deepEqual(places(), [0, 1, 2]);
  const { width, height } = scene.places[0]!;
  update(store, 'delta', [
    [0, 0, DONE, 1],
    [0, 1, RUNNING, 5],
    [0, 1, DONE, 2]
  ]);
  scene.sync();
  assert.deepEqual(places(), [0, 1, 2]);
  assert.ok(scene.places[0]!.height < height); // the lane of what waits is gone
  assert.equal(scene.places[0]!.width, width);
  scene.toggle(0);
  assert.deepEqual(places(), [0, 1, 2]); // also while it is closed: they are among the newest
});

const put = (size: number, more: Partial<IStoredObject> = {}): IStoredObject => ({
  id: `id${size}`,
  size,
  kind: 'value',
  made: 'In[1]:2',
  task: null,
  names: [],
  takers: [],
  ...more
});

test('values that were put and large results become nodes, by where they come from', () => {
  const store = storeOf(
    [
      [1, 0, DONE, 1],
      [1, 0, DONE, 1],
      [2, 0, DONE, 1]
    ],
    [0, 2]
  );
  const nodes = objectNodes(store, [
    put(40, { names: ['weights'], takers: [2, 99] }),
    put(600_000, { task: 0 }),
    put(700_000, { task: 1 }),
    put(10, { task: 2 }),
    put(5e6, { kind: 'arguments' }),
    put(7),
    put(8)
  ]);
  assert.deepEqual(
    nodes.map(({ name, maker, takers, count, size, largest }) => [
      name,
      maker,
      takers,
      count,
      size,
      largest
    ]),
    [
      ['', 0, [1], 2, 1_300_000, 'id700000'],
      ['weights', NO_GROUP, [1], 1, 40, 'id40'],
      ['', NO_GROUP, [], 2, 15, 'id8']
    ]
  );
});

test('objects stand between the cards, keep their places, and go when they are not wanted', () => {
  const store = storeOf([
    [1, 0, DONE, 1],
    [2, 0, DONE, 1]
  ]);
  const scene = new Scene(store);
  scene.sync();
  scene.showObjects(objectNodes(store, [put(40, { takers: [1] }), put(2e6, { task: 0 })]));
  assert.equal(scene.objects.length, 2);
  const [result, value] = [scene.objects[0]!, scene.objects[1]!];
  assert.ok(result.place.x > scene.places[0]!.x);
  assert.ok(scene.places[1]!.x > value.place.x);
  assert.equal(scene.objectAt(value.place.x + 2, value.place.y + 2), value);
  assert.equal(scene.edges.length, 2);
  const x = value.place.x;
  scene.showObjects(objectNodes(store, [put(40, { takers: [1] })]));
  assert.equal(scene.objects.length, 1);
  assert.equal(scene.objects[0]!.place.x, x);
  assert.equal(scene.edges.length, 1); // that of the result is gone
  scene.showObjects(null);
  assert.deepEqual([scene.objects.length, scene.edges.length, scene.places.length], [0, 0, 2]);
});

test('what is known to come after another has its place there at once: no gap is left', () => {
  const store = storeOf(
    [
      [1, 0, DONE, 1],
      [2, 0, DONE, 1],
      [0, 0, DONE, 1],
      [4, 0, DONE, 1]
    ],
    [0, 1] // load -> train
  );
  const scene = new Scene(store);
  scene.sync();
  const column = [0, 2, 3].map(group => scene.places[group]!);
  column.slice(1).forEach((place, n) => {
    assert.equal(place.y, column[n]!.y + column[n]!.height + 18);
  });
  assert.ok(scene.places[1]!.x > column[0]!.x && scene.places[1]!.y === column[0]!.y);
});

test('a gap that was left is filled by the next card, and by fitting', () => {
  const rows: Row[] = [
    [1, 0, DONE, 1],
    [2, 0, DONE, 1],
    [0, 0, DONE, 1]
  ];
  const scene = new Scene(storeOf(rows));
  const store = (scene as unknown as { _store: TaskStore })._store;
  scene.sync();
  const gap = scene.places[1]!.y;
  update(store, 'delta', [], [0, 1]); // train moves to the right
  scene.sync();
  const [below, y] = [scene.places[2]!, scene.places[2]!.y];
  assert.ok(scene.places[1]!.x > scene.places[0]!.x);
  assert.equal(below.y, y);
  update(store, 'delta', [...rows, [4, 0, DONE, 1]]);
  scene.sync();
  assert.equal(scene.places[3]!.y, gap);
  assert.equal(below.y, y);

  const other = storeOf(rows);
  const fitted = new Scene(other);
  fitted.sync();
  update(other, 'delta', [], [0, 1]);
  fitted.sync();
  fitted.arrange();
  assert.equal(fitted.places[2]!.y, gap);
});

test('objects that a person wants to see leave no gaps', () => {
  const store = storeOf([
    [1, 0, DONE, 1],
    [2, 0, DONE, 1],
    [0, 0, DONE, 1],
    [4, 0, DONE, 1]
  ]);
  const scene = new Scene(store);
  scene.sync();
  scene.toggle(0);
  const value = put(40, { takers: [0, 2] });
  scene.showObjects(objectNodes(store, [value]));
  scene.arrange(); // the objects stay
  assert.equal(scene.objects.length, 1);
  assert.ok(scene.isOpen(0));
  const [first, second] = [1, 3].map(group => scene.places[group]!);
  const object = scene.objects[0]!.place;
  const column = [object, first!, second!].sort((a, b) => a.y - b.y);
  column.slice(1).forEach((place, n) => {
    assert.equal(place.y, column[n]!.y + column[n]!.height + 18);
  });
});

test('an actor is called as its cluster says in all views, also by who comes later', () => {
  const store = storeOf([
    [0, 7, DONE, 3],
    [0, 3, DONE, 1],
    [1, 3, DONE, 0]
  ]);
  assert.equal(laneName(store, 7), 'worker 8'); // its cluster has not told yet
  const workers: IFrame['workers'] = [
    [3, '33', 'a1', 'Counter 10'],
    [7, '77', 'a2', 'Counter 2']
  ];
  store.apply({ ...FRAME, kind: 'delta', workers }, NOTHING, NOTHING, 0);
  assert.deepEqual(
    [0, 1, 2].map(task => placeName(store, task)),
    ['Counter 2', 'Counter 10', 'worker 4'] // what it ran before it was an actor
  );
  // Its lanes stand in the order of their names, whoever took a call first.
  const { lanes } = lanesOf(store, [store.groups[0]!], 12, [12, 80]);
  assert.deepEqual(
    lanes.map(({ worker }) => laneName(store, worker)),
    ['Counter 2', 'Counter 10']
  );
  assert.ok(traceOf(store, 0).includes('"args":{"name":"Counter 2"}'));
  assert.deepEqual([...callsByActor(store).keys()], ['a2', 'a1']);
});

test('the saved picture says at its card what has failed', () => {
  const store = storeOf([
    [1, 0, DONE, 1],
    [1, 0, FAILED, 1]
  ]);
  const { svg } = graphSvg(store, {
    colors: COLORS,
    cellOf: () => '',
    failure: () => 'Key<Error>'
  });
  assert.ok(svg.includes('>Key&lt;Error&gt; · 1 failed</text>'), svg);
  assert.ok(svg.includes('fill="#fed"'));
});

test('cards are read as a tree: whoever starts tasks before the cards of those, and the next after them', () => {
  const store = storeOf([
    [2, 0, RUNNING, 1],
    [0, 1, DONE, 1],
    [1, 2, DONE, 2, 0],
    [1, 2, DONE, 2, 1]
  ]);
  const scene = new Scene(store);
  scene.sync();
  const words = (cards: readonly ICard[]): string[] =>
    cards.map(card => cardWords(store, card).split(', ')[0]!);
  assert.deepEqual(words(scene.cards), ['train', 'Counter', 'load', 'load']);
  assert.deepEqual(words(scene.cardsInTree), ['train', 'load', 'Counter', 'load']);
});

test('who holds something is called as its lane is, and a stranger by what it is', () => {
  const store = storeOf([[1, 0, RUNNING, 10]]);
  store.workers.splice(0, store.workers.length, '7', '9');
  const holder = { peer: '9', name: 'worker', pid: 77 };
  assert.equal(processName(store, holder), 'worker 2');
  store.actors[1] = 'Trainer 1';
  assert.equal(processName(store, holder), 'Trainer 1');
  assert.equal(processName(store, { ...holder, peer: '11' }), 'worker (process 77)');
  assert.equal(processName(store, { peer: '', name: 'the node', pid: 0 }), 'the node');
});

test('a point of the minimap stands for one of the scene, and back', () => {
  const camera = new Camera();
  const bounds = { x: -10, y: 20, width: 820, height: 600 };
  assert.equal(minimapPlace(camera, bounds, 500, 400), null); // nobody has moved
  camera.zoom(3, 0, 0);
  assert.equal(minimapPlace(camera, bounds, 300, 400), null); // no room
  const place = minimapPlace(camera, bounds, 500, 400)!;
  assert.equal(place.scale, 0.1); // the height decides
  const [x, y] = place.spot(400, 320);
  assert.deepEqual(place.toScene(x, y), { x: 400, y: 320 });
  assert.ok(place.has(x, y) && place.has(487, 387) && !place.has(489, 387) && !place.has(300, 350));
});

test('scaling by keys is around the middle of what can be seen', () => {
  const camera = new Camera();
  const box = { x: 0, y: 0, width: 200, height: 50 };
  camera.fit(box, 1000, 400, 20);
  assert.deepEqual(camera.middle(box, 1000, 400), { x: 120, y: 45 });
  const { x, y } = camera.middle(box, 1000, 400);
  for (let n = 0; n < 8; n++) {
    camera.zoom(1.25, x, y);
  }
  const seen = camera.toScene(120, 45);
  assert.deepEqual([Math.round(seen.x), Math.round(seen.y)], [100, 25]); // still there
  camera.pan(-5000, 0);
  assert.equal(camera.middle(box, 1000, 400).x, 500); // nothing of it is
});
