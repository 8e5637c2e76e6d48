import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stepsOf } from '../graph/history.js';
import { pieces } from '../graph/sentence.js';
import { ROW_BYTES, type IFrame } from '../graph/frames.js';
import { DONE, FAILED, RUNNING, WAITS_FOR_INPUT, WAITS_FOR_PLACE } from '../graph/taskStates.js';
import { TaskStore } from '../graph/taskStore.js';
import { readActors, readNodes, readObjects, readTask } from '../model/answers.js';
import { deathWords } from '../model/deathWords.js';
import { fromKernel } from '../model/kernelWords.js';
import { plain } from '../model/plainText.js';
import { visibleName } from '../graph/visibleName.js';
import { useTexts } from '../text.js';

function frame(kind: IFrame['kind'], now: number): IFrame {
  const names: IFrame['functions'] = [[0, 'f', 'task', '']];
  const rest = { counts: [], forgotten: 0, dropped: 0, wall: 0, workers: [] };
  return { kind, generation: 1, functions: names, now, ...rest };
}

function row(
  index: number,
  state: number,
  times: { made?: number; sent?: number; start?: number; end?: number; attempt?: number } = {}
): DataView {
  const view = new DataView(new ArrayBuffer(ROW_BYTES));
  view.setUint32(0, index, true);
  view.setInt32(8, -1, true);
  view.setInt32(12, -1, true);
  view.setUint8(16, state);
  view.setUint16(18, times.attempt ?? 0, true);
  view.setFloat64(20, times.sent ?? 0, true);
  view.setFloat64(28, times.start ?? 0, true);
  view.setFloat64(36, times.end ?? 0, true);
  view.setFloat64(44, times.made ?? 0, true);
  return view;
}

const NOTHING = new DataView(new ArrayBuffer(0));

/** The steps as numbers. */
function steps(store: TaskStore, task: number, now = 99): number[][] {
  return stepsOf(store, task, now).map(({ state, from, to }) => [state, from, to]);
}

describe('the history of a task', () => {
  it('knows when its inputs came, also where the page looked only later', () => {
    const store = new TaskStore();
    const edge = new DataView(new ArrayBuffer(8));
    edge.setUint32(4, 1, true); // 0 -> 1
    store.apply(frame('snapshot', 50), row(0, DONE, { sent: 5, start: 6, end: 20 }), NOTHING, 0);
    const over = row(1, DONE, { made: 10, sent: 21, start: 22, end: 35 });
    store.apply(frame('delta', 50), over, edge, 0);
    assert.deepEqual(steps(store, 1), [
      [WAITS_FOR_INPUT, 10, 20],
      [WAITS_FOR_PLACE, 20, 22],
      [RUNNING, 22, 35]
    ]);
  });

  it('takes what the page has seen, where its inputs are not known', () => {
    const store = new TaskStore();
    store.apply(frame('snapshot', 5), NOTHING, NOTHING, 0);
    store.apply(frame('delta', 10), row(0, WAITS_FOR_INPUT, { made: 9 }), NOTHING, 0);
    assert.deepEqual(steps(store, 0, 15), [[WAITS_FOR_INPUT, 9, 15]]);
    store.apply(frame('delta', 20), row(0, RUNNING, { made: 9, sent: 20, start: 21 }), NOTHING, 0);
    assert.deepEqual(steps(store, 0, 30), [
      [WAITS_FOR_INPUT, 9, 20],
      [WAITS_FOR_PLACE, 20, 21],
      [RUNNING, 21, 30]
    ]);
  });

  it('says nothing of what nobody knows', () => {
    const store = new TaskStore();
    store.apply(frame('snapshot', 50), row(0, WAITS_FOR_INPUT), NOTHING, 0);
    assert.deepEqual(steps(store, 0, 60), []);
    store.apply(frame('delta', 70), row(0, DONE, { sent: 61, start: 62, end: 65 }), NOTHING, 0);
    assert.deepEqual(steps(store, 0), [
      [WAITS_FOR_PLACE, 61, 62],
      [RUNNING, 62, 65]
    ]);
  });

  it('of one that is run again is that of its last try', () => {
    const store = new TaskStore();
    const again = row(0, DONE, { made: 10, sent: 50, start: 52, end: 60, attempt: 1 });
    store.apply(frame('snapshot', 70), again, NOTHING, 0);
    assert.deepEqual(steps(store, 0), [
      [FAILED, 10, 50],
      [WAITS_FOR_PLACE, 50, 52],
      [RUNNING, 52, 60]
    ]);
  });
});

describe('sentences', () => {
  it('link cells and functions, whole names only', () => {
    const text =
      'score waits: held by Trainer.fit (pid 3, made in In[11]:2), not by scores, from cell 4.';
    const found = pieces(text, ['score', 'Trainer.fit', '<img src=x>', '']);
    assert.deepEqual(
      found.filter(piece => piece.name !== undefined || piece.cell !== undefined),
      [
        { text: 'score', name: 'score' },
        { text: 'Trainer.fit', name: 'Trainer.fit' },
        { text: 'cell 11, line 2', cell: 11 },
        { text: 'cell 4', cell: 4 }
      ]
    );
    assert.deepEqual(pieces('<b>.*+?</b>', []), [{ text: '<b>.*+?</b>' }]);
  });
});

describe('why a task waits', () => {
  it('is said in the language of the page, whatever it is made of', () => {
    const filled = (text: string, values: (string | number)[]): string =>
      text.replace(/%(\d)/g, (_, n: string) => String(values[Number(n) - 1]));
    useTexts({ __: (text, ...values) => `<${filled(text, values)}>` });
    try {
      const runs = ['%1 runs on worker pid %2 since %3', 'g', '7', '1.0 s'];
      const there = ['%1.', ['%1, where it waits: %2', runs, ['%1 and %2', 'h', 'it is over']]];
      const told = readTask({ why: there });
      assert.equal(
        told.why,
        '<<<g runs on worker pid 7 since 1.0 s>, where it waits: <h and it is over>>.>'
      );
      assert.equal(told.waitsThere, '<h and it is over>');
      assert.equal(readTask({ why: ['%1.', runs] }).waitsThere, '');
      assert.equal(readTask({ why: [7, ['x']] }).why, '');
    } finally {
      useTexts({ __: (text, ...values) => filled(text, values) });
    }
  });
});

describe('answers', () => {
  it('name who holds what is short in the order of their names and tasks', () => {
    const told = [
      { name: 'train', runs: null, task: 10 },
      { name: 'Trainer 10', actor: true },
      { name: 'train', task: 9 },
      { name: 'Trainer 9', actor: true }
    ];
    const { waits } = readTask({ waits: { short: [{ needs: '1 GPU' }], holders: told, ahead: 3 } });
    assert.deepEqual(
      waits!.holders.map(({ name, task }) => [name, task]),
      [
        ['train', 9],
        ['train', 10],
        ['Trainer 9', null],
        ['Trainer 10', null]
      ]
    );
    assert.equal(waits!.ahead, 3);
  });

  it('of any shape are read', () => {
    for (const value of [null, 7, 'x', [], [1], { objects: 'x', actors: [null], nodes: {} }]) {
      assert.equal(readTask(value).error, null);
      assert.deepEqual(readObjects(value).objects, []);
      assert.ok(readActors(value).length <= 1);
      assert.deepEqual(readNodes(value).workers, []);
    }
  });

  it('keep what has the right type', () => {
    const value = {
      id: 'ab',
      open: true,
      error: { type: 'ValueError', message: 7, traceback: '\u001b[31mred\u001b[0m' },
      holds: [{ name: 'w', by: [{ kind: 'variable', names: ['df', 3] }, { kind: 'hostile' }] }],
      arguments: [{ label: '#1', text: '<b>', size: 'large', task: -1 }]
    };
    const task = readTask(value);
    assert.deepEqual([task.id, task.open, task.error?.message], ['ab', true, '']);
    assert.equal(task.error?.traceback, 'red');
    assert.deepEqual(
      task.holds[0]!.by.map(holder => holder.kind),
      ['variable', 'process']
    );
    assert.deepEqual(task.arguments[0], { label: '#1', text: '<b>', size: null, task: null });
    assert.equal(plain('a\u001b[1;32mb'), 'ab');
    assert.equal(plain('\u001b]0;title\u0007a\u001b]8;;http://x\u001b\\b\u001b]8;;\u001b\\'), 'ab');
    assert.equal(plain('a\u001b(Bb\u001b7c\u0008\u0000'), 'abc');
    // A bar of progress: what it showed in the end.
    assert.equal(plain('\r 10 %\r 100 %\r\nb'), ' 100 %\nb');
    assert.equal(plain('long line\rXY\n'), 'XYng line\n');
    assert.equal(plain('long line\r\u001b[KXY\n'), 'XY\n');
    assert.equal(plain('long line\u001b[2K\rXY'), 'XY');
    assert.equal(plain('a \u001b[01;31m\u001b[Kmatch\u001b[m\u001b[K of grep'), 'a match of grep');
    assert.equal(plain('not kept\r\u001b[K'), '');
  });
});

describe('what the kernel says', () => {
  it('is told in the language of the page, as far as that is known', () => {
    const words: Record<string, string> = {
      'It cannot be run again: %1.': 'Es geht nicht: %1.',
      'it is over': 'es ist vorbei'
    };
    const said: string[] = [];
    const english = (text: string, ...values: (string | number)[]): string =>
      text.replace('%1', String(values[0]));
    useTexts({ __: (text, ...values) => english(words[text] ?? text, ...values) });
    try {
      for (const text of ['it is over', 'It cannot be run again: it is over.', 'new %1', '']) {
        said.push(fromKernel(text));
      }
    } finally {
      useTexts({ __: english });
    }
    assert.deepEqual(said, ['es ist vorbei', 'Es geht nicht: es ist vorbei.', 'new %1', '']);
  });
});

describe('why an actor died', () => {
  const causes = [
    'Actor Trainer was killed by ray.kill().',
    'The constructor of Trainer raised an exception on worker pid=7: ValueError: 3: no',
    'Actor Trainer: worker pid=7 was killed by SIGKILL (by the kernel for lack of memory, or by hand). It had been restarted 2 times.\nLast lines of its log:\nActor: a\nb',
    "Actor Trainer: worker pid=7 exited with code 1: the actor's constructor failed",
    'something new'
  ];
  it('is told in the language of the page, piece by piece; the log stays as it is', () => {
    const filled = (text: string, ...values: (string | number)[]): string =>
      text.replace(/%(\d)/g, (_, n: string) => String(values[Number(n) - 1]));
    useTexts({ __: (text, ...values) => `[${filled(text, ...values)}]` });
    let said: string[];
    try {
      said = causes.map(deathWords);
    } finally {
      useTexts({ __: filled });
    }
    assert.deepEqual(said, [
      '[Actor Trainer was killed by ray.kill().]',
      '[The constructor of Trainer raised an exception on worker pid=7: ValueError: 3: no]',
      '[[[Actor Trainer: [[worker pid=7 was killed by SIGKILL] (by the kernel for lack of memory, or by hand)]]. It had been restarted 2 times.]\nLast lines of its log:\nActor: a\nb]',
      "[Actor Trainer: [worker pid=7 exited with code 1: [the actor's constructor failed]]]",
      'something new'
    ]);
    assert.deepEqual(causes.map(deathWords), causes);
  });
});

describe('names', () => {
  it('hide nothing, and turn nothing around', () => {
    const names = [
      'f',
      '\u202eevil\u202c',
      '\u200b',
      ' ',
      '',
      'a\nb',
      'مرحبا',
      '👩\u200d💻',
      '\ud800'
    ];
    assert.deepEqual(names.map(visibleName), [
      'f',
      '\\u202eevil\\u202c',
      '\\u200b',
      "' '",
      '',
      'a\\u000ab',
      'مرحبا',
      '👩\u200d💻',
      '\\ud800'
    ]);
  });
});
