/** What stands around the panel, without a browser: clusters without a kernel, cells, exports. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asCode, focusAsCode } from '../exports/asCode.js';
import { escapeMarkup } from '../exports/escape.js';
import { graphSvg } from '../exports/graphSvg.js';
import { reportOf } from '../exports/report.js';
import { traceOf } from '../exports/trace.js';
import { cellSpans, spansOfTasks } from '../graph/cellSpans.js';
import { rowAfterKey } from '../graph/rowKeys.js';
import { TimeScale } from '../graph/timeScale.js';
import { itemAfterKey } from '../graph/treeKeys.js';
import { momentsOf } from '../graph/samples.js';
import { ROW_BYTES, type IFrame } from '../graph/frames.js';
import { DONE, FAILED, RUNNING, WAITS_FOR_PLACE } from '../graph/taskStates.js';
import { TaskStore } from '../graph/taskStore.js';
import { badgeOf, countByOrigin } from '../model/cellCounts.js';
import { CellMemory } from '../model/cellMemory.js';
import { readClusters } from '../model/clusterList.js';
import type { ILinkListener } from '../model/kernelLink.js';
import { isRemote, toggleRemote, whyNotRemote } from '../model/remoteLine.js';
import { objectsForPicture } from '../model/shownObjects.js';
import { readRecord, ServerLink, type Socket } from '../model/serverLink.js';
import type { Status } from '../tokens.js';

const HOSTILE = `<img src=x onerror=alert(1)>"'&\u0000]]>`;

function storeOf(states: readonly number[], name = 'evaluate'): TaskStore {
  const store = new TaskStore();
  const rows = new DataView(new ArrayBuffer(states.length * ROW_BYTES));
  states.forEach((state, n) => {
    const at = n * ROW_BYTES;
    rows.setUint32(at, n, true);
    rows.setInt32(at + 8, -1, true);
    rows.setUint8(at + 16, state);
    rows.setFloat64(at + 20, 10, true);
    rows.setFloat64(at + 28, 20, true);
    rows.setFloat64(at + 36, state === RUNNING ? 0 : 30, true);
  });
  const frame: IFrame = {
    kind: 'snapshot',
    generation: 1,
    functions: [[0, name, 'task', 'cell-a']],
    workers: [[0, 'w1']],
    counts: [0, 0, 0, 0, states.length, 0, 0],
    forgotten: 0,
    dropped: 0,
    now: 100,
    wall: 0
  };
  store.apply(frame, rows, new DataView(new ArrayBuffer(0)), 0);
  return store;
}

function record(data: object, ...buffers: Uint8Array[]): ArrayBuffer {
  const text = new TextEncoder().encode(JSON.stringify(data));
  const size = buffers.reduce((sum, one) => sum + one.length, 8 + text.length + 4 * buffers.length);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, text.length, true);
  bytes.set(text, 4);
  let at = 4 + text.length;
  view.setUint32(at, buffers.length, true);
  buffers.forEach((one, n) => view.setUint32(at + 4 + 4 * n, one.length, true));
  at += 4 + 4 * buffers.length;
  for (const one of buffers) {
    bytes.set(one, at);
    at += one.length;
  }
  return bytes.buffer;
}

test('a record is read as it was written, and what is cut short is none', () => {
  const bytes = record({ v: 1, seq: 3 }, new Uint8Array([1, 2]), new Uint8Array([3]));
  const read = readRecord(bytes)!;
  assert.deepEqual(read.data, { v: 1, seq: 3 });
  assert.deepEqual(
    read.buffers.map(one => one.byteLength),
    [2, 1]
  );
  assert.equal(read.buffers[1]!.getUint8(0), 3);
  for (let length = 0; length < bytes.byteLength; length++) {
    assert.equal(readRecord(bytes.slice(0, length)), null);
  }
  assert.equal(readRecord('text'), null);
});

test('a cluster without a kernel is followed over a websocket, acknowledged, asked, and ends', async () => {
  const said: string[] = [];
  const told: unknown[] = [];
  const statuses: Status[] = [];
  const listener: ILinkListener = {
    onStatus: status => statuses.push(status),
    onCluster: cluster => told.push(cluster?.workers),
    onFrame: frame => told.push(frame.kind)
  };
  const socket = {
    send: (text: string) => said.push(text),
    close: () => said.push('close'),
    binaryType: 'blob'
  } as unknown as Socket;
  const link = new ServerLink(listener, name => (said.push(name), socket));
  link.attach('session_1');
  const call = (handler: unknown, event: object = {}): void =>
    (handler as (event: object) => void)(event);
  call(socket.onopen);
  link.watchTasks(true);
  call(socket.onmessage, { data: record({ v: 1, seq: 1, cluster: { workers: 2 } }) });
  const frame = { v: 1, seq: 2, ask: true, frame: { kind: 'snapshot' } };
  call(socket.onmessage, { data: record(frame, new Uint8Array(0), new Uint8Array(0)) });
  call(socket.onmessage, { data: record(frame) }); // the same again
  const asked = [
    link.request('nodes', {}),
    link.request('task', { task: 3 }),
    link.request('nodes', {})
  ];
  call(socket.onmessage, { data: record({ v: 1, reply: 2, error: 'It is not known.' }) });
  call(socket.onmessage, { data: record({ v: 1, reply: 1, value: { nodes: [] } }) });
  call(socket.onclose);
  asked.push(link.request('nodes', {})); // there is nobody any more
  const answers = await Promise.allSettled(asked);
  assert.deepEqual(
    answers.map(one => (one.status === 'fulfilled' ? one.value : (one.reason as Error).message)),
    [
      { nodes: [] },
      'It is not known.',
      'The connection to the cluster was lost.',
      'There is no connection to the cluster now.'
    ]
  );
  assert.deepEqual(told, [2, 'snapshot']);
  assert.deepEqual(statuses, ['connecting', 'live', 'live', 'ended']);
  assert.deepEqual(said, [
    'session_1',
    '{"v":1,"tasks":false}',
    '{"v":1,"tasks":true}',
    '{"v":1,"ack":2}',
    '{"v":1,"request":1,"what":"nodes"}',
    '{"task":3,"v":1,"request":2,"what":"task"}',
    '{"v":1,"request":3,"what":"nodes"}'
  ]);
});

test('the list of clusters takes what has the right shape', () => {
  const rows = readClusters([
    { name: 'session_1', address: '/a', started_by: 'start', figures: { cpus_total: 2 } },
    { name: 7 },
    null,
    { name: 's', address: 'b', error: 'too old', nodes: [{ usage: { cpu: 0.5, gpus: [{}, 3] } }] }
  ]);
  assert.deepEqual(
    rows.map(row => [row.name, row.ownedByDriver, row.figures?.cpus_total, row.error]),
    [
      ['session_1', false, 2, ''],
      ['s', true, undefined, 'too old']
    ]
  );
  assert.equal(rows[1]!.nodes[0]!.cpu, 0.5);
  assert.equal(rows[1]!.nodes[0]!.gpus.length, 1);
  assert.deepEqual(readClusters('no list'), []);
});

test('a badge counts, and says so in words', () => {
  const counts = countByOrigin(storeOf([DONE, DONE, RUNNING, FAILED])).get('cell-a')!;
  assert.deepEqual(badgeOf(counts, 12), {
    state: 'RUNNING',
    text: '3/4',
    label: 'cell 12: 2 of 4 done, 1 running, 1 failed'
  });
  const failed = countByOrigin(storeOf([DONE, FAILED])).get('cell-a')!;
  assert.equal(badgeOf(failed, 1)!.text, 'failed');
  // Also those that the page does not have any more.
  const long = storeOf([DONE, RUNNING]);
  long.gone = new Map([[0, [0, 0, 0, 0, 200, 3, 0]]]);
  assert.equal(badgeOf(countByOrigin(long).get('cell-a')!, 1)!.text, '204/205');
  assert.equal(badgeOf([0, 0, 0, 0, 12_345, 0, 0], 1)!.text, '12k');
  assert.equal(badgeOf([0, 0, 0, 1, 1_200_000, 0, 0], 1)!.text, '99 %');
  assert.equal(badgeOf(new Int32Array(7), 1), null);
});

test('the line %%remote is written and removed', () => {
  assert.equal(toggleRemote('x = 1'), '%%remote\nx = 1');
  assert.equal(toggleRemote('%%remote --num-gpus 1\nx = 1'), 'x = 1');
  assert.equal(toggleRemote('%%remote'), '');
  assert.equal(isRemote('%%remotely'), false);
  assert.equal(
    whyNotRemote('%%time\nx'),
    'This cell begins with %%time; a cell has one such line.'
  );
  assert.equal(whyNotRemote('x'), null);
});

test('runs of cells are remembered per kernel, and damage is forgotten', () => {
  let kept = '[["k0", [["o", "c", "not a number"]]], 3]';
  const storage = { getItem: () => kept, setItem: (_: string, value: string) => (kept = value) };
  const memory = new CellMemory(storage);
  assert.deepEqual(memory.runsOf('k0'), []);
  memory.add('k1', ['o1', 'c1', 1]);
  memory.add('k1', ['o1', 'c1', 1]);
  assert.deepEqual(new CellMemory(storage as unknown as Storage).runsOf('k1'), [['o1', 'c1', 1]]);
});

test('what is saved has every task, and no name in it becomes markup', () => {
  const store = storeOf([DONE, FAILED, RUNNING], HOSTILE);
  const trace = JSON.parse(traceOf(store, 50)) as { traceEvents: { ph: string; dur?: number }[] };
  const spans = trace.traceEvents.filter(({ ph }) => ph === 'X');
  assert.deepEqual(
    spans.map(({ dur }) => dur),
    [10_000, 10_000, 30_000]
  );
  const colors = {
    states: Array<string>(7).fill('#123456'),
    background: '#fff',
    line: '#ccc',
    faint: '#eee',
    text: '#000',
    dim: '#666',
    failSoft: '#fed'
  };
  const { svg } = graphSvg(store, { colors, cellOf: () => HOSTILE });
  const report = reportOf({
    store,
    title: HOSTILE,
    date: 'now',
    now: 50,
    svg,
    cellOf: () => HOSTILE,
    maxTasks: 2
  });
  for (const text of [svg, report]) {
    assert.ok(!text.includes('<img') && text.includes('&lt;img') && !text.includes('\u0000'));
  }
  assert.ok(report.indexOf('[1]') < report.indexOf('[0]')); // what failed comes first
  assert.ok(report.includes('1 more are not listed'));
  assert.equal(escapeMarkup(`a"b'c`), 'a&quot;b&#39;c');
});

test('a report says nothing of the time of what has not run', () => {
  const store = storeOf([WAITS_FOR_PLACE, WAITS_FOR_PLACE]);
  for (const task of [0, 1]) {
    store.start[task] = store.end[task] = 0;
  }
  const report = reportOf({
    store,
    title: 'x',
    date: 'now',
    now: 50,
    svg: '',
    cellOf: () => '',
    maxTasks: 2
  });
  assert.ok(!/\b0 us/.test(report), report);
  assert.ok(report.includes('2 tasks<'));
});

test('a selection as code', () => {
  const store = storeOf([DONE, DONE], 'f"\n');
  assert.ok(
    asCode(store, null, null).includes('list_tasks()') ||
      asCode(store, null, null).includes('list_tasks(')
  );
  assert.ok(asCode(store, { group: 0, task: null }, null).includes('("name", "=", "f\\"\\n")'));
  const code = asCode(store, { group: 0, task: 1 }, 'ab12');
  assert.ok(code.includes('get_task("ab12")') && code.includes('# f"\\u000a[1]'));
  const actor = focusAsCode({ kind: 'actor', id: 'cd', name: 'Counter “a\nb”' });
  assert.ok(actor.includes('get_actor("cd")') && actor.includes('# Counter “a b”'));
  assert.ok(focusAsCode({ kind: 'object', id: 'ef', name: '' }).includes('get_objects("ef")'));
});

test('keys lead from row to row, and never out of the table', () => {
  const from = (key: string, at: number): number | null => rowAfterKey(key, at, 100, 10);
  assert.deepEqual(
    ['ArrowDown', 'ArrowUp', 'PageDown', 'PageUp', 'Home', 'End', 'a'].map(key => from(key, 50)),
    [51, 49, 60, 40, 0, 99, null]
  );
  assert.deepEqual([from('ArrowUp', 0), from('PageDown', 95), from('ArrowDown', -1)], [0, 99, 0]);
  assert.equal(rowAfterKey('End', -1, 0, 10), null);
});

test('a picture has the objects as they are now, also where the graph has not been in view since', async () => {
  const tasks = storeOf([DONE]);
  const object = { id: 'a', size: 9, kind: 'value', made: 'cell 1', task: null, takers: [0] };
  const told = { objects: [{ ...object, names: ['frame'] }] };
  const seen = { name: 'seen', generation: 0, nodes: [] };
  const names = async (
    shownObjects: typeof seen | null,
    request: () => Promise<unknown>
  ): Promise<string[] | undefined> =>
    (await objectsForPicture({ shownObjects, tasks, request }, 1))?.map(node => node.name);
  const busy = (): Promise<unknown> => new Promise(() => undefined);
  assert.deepEqual(await names(seen, () => Promise.resolve(told)), ['frame']); // of an older generation
  assert.equal(await names(null, () => Promise.resolve(told)), undefined);
  assert.equal(await names(seen, busy), undefined);
  assert.deepEqual(await names({ ...seen, generation: 1 }, busy), []); // what the graph saw
});

test('the lane of cells has the runs that the page saw, and those whose tasks alone are known', () => {
  const ofTasks = spansOfTasks(storeOf([DONE, RUNNING, DONE]));
  assert.deepEqual([...ofTasks], [['cell-a', { from: 10, to: null }]]);
  assert.deepEqual([...spansOfTasks(storeOf([DONE, FAILED]))], [['cell-a', { from: 10, to: 30 }]]);
  const ran = [{ origin: 'cell-b', number: 2, from: 1_005, to: 1_040 }];
  const numberOf = (origin: string): number | null => (origin === 'cell-a' ? 1 : null);
  assert.deepEqual(cellSpans(ran, ofTasks, 1_000, numberOf), [
    { origin: 'cell-b', number: 2, from: 5, to: 40 },
    { origin: 'cell-a', number: 1, from: 10, to: null, isGuess: true } // only its tasks run, for sure
  ]);
  const same = [{ origin: 'cell-a', number: 1, from: 1_000, to: null }];
  assert.deepEqual(cellSpans(same, ofTasks, 1_000, numberOf), [
    { origin: 'cell-a', number: 1, from: 0, to: null }
  ]);
});

test('a key leads from item to item of a tree: along it, to what one is below, and into it', () => {
  const levels = [1, 2, 2, 3, 1];
  const from = (key: string): (number | null)[] =>
    levels.map((_, at) => itemAfterKey(key, at, levels));
  assert.deepEqual(from('ArrowDown'), [1, 2, 3, 4, null]);
  assert.deepEqual(from('ArrowUp'), [null, 0, 1, 2, 3]);
  assert.deepEqual(from('ArrowLeft'), [null, 0, 0, 2, null]);
  assert.deepEqual(from('ArrowRight'), [1, null, 3, null, null]);
  assert.deepEqual([from('Home')[3], from('End')[0], from('x')[1]], [0, 4, null]);
  assert.equal(itemAfterKey('ArrowDown', -1, levels), null); // the focus is elsewhere
});

test('what is out of view comes into it, on the same scale', () => {
  const scale = new TimeScale();
  scale.followTo(0, 1000);
  scale.reveal(5000, 6000); // who follows has everything in view
  assert.ok(scale.follow && scale.to < 5000);
  [scale.from, scale.to, scale.follow] = [0, 100, false];
  scale.reveal(50, 400);
  assert.deepEqual([scale.from, scale.to], [0, 100]);
  scale.reveal(400, 500);
  assert.deepEqual([scale.from, scale.to], [400, 500]);
});

test('the times of the axis stand at distances that are round for a person, and differ', () => {
  const words = (from: number, to: number): string[] => {
    const scale = new TimeScale();
    [scale.from, scale.to] = [from, to];
    return scale.ticks(5, 0).map(tick => tick.words);
  };
  assert.deepEqual(words(0, 60_000), ['0 s', '20 s', '40 s', '1 min']);
  assert.deepEqual(words(50_000, 130_000), ['1 min', '1 min 20 s', '1 min 40 s', '2 min']);
  assert.deepEqual(words(0, 790_000), ['0 s', '5 min', '10 min']);
  assert.deepEqual(words(3_000_000, 9_000_000), [
    '1 h',
    '1 h 20 min',
    '1 h 40 min',
    '2 h',
    '2 h 20 min'
  ]);
  assert.deepEqual(words(0, 2), ['0 s', '0.5 ms', '1.0 ms', '1.5 ms', '2.0 ms']);
  assert.deepEqual(words(61_000, 61_004), [
    '1 min 1.000 s',
    '1 min 1.001 s',
    '1 min 1.002 s',
    '1 min 1.003 s',
    '1 min 1.004 s'
  ]);
  assert.deepEqual(words(0, 400 * 86_400_000).length, 5);
});

test('a curve has a gap where nobody looked, and a value at the pointer where somebody did', () => {
  const at = (seconds: number): { t_ns: number } => ({ t_ns: seconds * 1e9 });
  const seconds = (moments: { times: number[]; samples: ({ t_ns: number } | null)[] }): unknown =>
    moments.samples.map((sample, n) =>
      sample === null ? [moments.times[n]! / 1000] : sample.t_ns / 1e9
    );
  // In brackets, where nothing is known.
  const samples = [at(1), at(1.25), at(5), at(70), at(70.25)];
  assert.deepEqual(seconds(momentsOf(samples)), [[-4], 1, 1.25, 5, [10], [65], 70, 70.25, [75.25]]);
  assert.deepEqual(seconds(momentsOf([at(1), at(9)])), [[-4], 1, [5], [5], 9, [14]]);
  assert.deepEqual(momentsOf([]), { times: [], samples: [] });
  // The next moment to a time, as a chart finds it.
  const moments = momentsOf([at(1), at(2), at(70)]);
  const next = (time: number): number | undefined => {
    const away = moments.times.map(one => Math.abs(one / 1000 - time));
    return moments.samples[away.indexOf(Math.min(...away))]?.t_ns;
  };
  assert.deepEqual(
    [-2, 0.5, 1.4, 1.6, 4, 30, 68, 71, 80].map(next),
    [undefined, 1, 1, 2, 2, undefined, 70, 70, undefined].map(found => found && found * 1e9)
  );
});
