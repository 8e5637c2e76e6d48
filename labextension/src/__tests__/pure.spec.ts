import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readFeed, totalTasks } from '../model/feed.js';
import {
  formatAmount,
  formatBytes,
  formatBytesOf,
  formatCount,
  formatNoun
} from '../graph/format.js';
import { addSample, sharesOf } from '../model/history.js';
import { KernelMemory } from '../model/kernelMemory.js';
import { BAR_ORDER, STATES, stateWord } from '../graph/states.js';
import { emptyWords } from '../panels/overview/words.js';
import type { ISample } from '../tokens.js';

const CLUSTER = {
  state: 'running',
  cpus_total: 2,
  cpus_used: 1.5,
  gpus_total: 0,
  gpus_used: 0,
  store_used: 1.2e9,
  store_capacity: 4e9,
  workers: 2,
  nodes: 1,
  actors: 0,
  tasks: {
    PENDING_ARGS_AVAIL: 312,
    PENDING_NODE_ASSIGNMENT: 41,
    RUNNING: 3,
    FINISHED: 8204,
    FAILED: 2,
    CANCELLED: 0
  }
};

describe('readFeed', () => {
  it('reads a whole view', () => {
    const message = readFeed({ v: 1, seq: 4, ask: true, cluster: CLUSTER });
    assert.deepEqual(message, { v: 1, seq: 4, ask: true, cluster: CLUSTER });
    assert.equal(totalTasks(message.cluster.tasks), 8562);
  });

  it('reads that there is no cluster', () => {
    const message = readFeed({ v: 1, seq: 1, cluster: null });
    assert.deepEqual(message, { v: 1, seq: 1, ask: false, cluster: null });
  });

  it('refuses what is no message', () => {
    for (const data of [
      null,
      3,
      'x',
      [],
      {},
      { v: 1 },
      { v: 1, seq: 1 },
      { v: 1, seq: 1, cluster: 7 }
    ]) {
      assert.equal(readFeed(data), null);
    }
  });

  it('takes zero for figures that are missing or no numbers', () => {
    const message = readFeed({
      v: 1,
      seq: 1,
      cluster: { cpus_total: 'many', tasks: { RUNNING: NaN } }
    });
    assert.equal(message!.cluster!.cpus_total, 0);
    assert.equal(message!.cluster!.store_used, 0);
    assert.equal(totalTasks(message!.cluster!.tasks), 0);
  });
});

describe('numbers', () => {
  it('groups counts', () => assert.equal(formatCount(8204), '8,204'));

  it('writes amounts with three digits at most', () => {
    const written = [2, 1.5, 0.25, 0.0001, 12.345, 1000.5].map(formatAmount);
    assert.deepEqual(written, ['2', '1.5', '0.25', '0.0001', '12.3', '1,001']);
  });

  it('writes sizes with a unit', () => {
    const written = [0, 12, 999, 48e6, 4e9, 31.4e9, 999.7e6, 2.5e12].map(formatBytes);
    assert.deepEqual(written, [
      '0 B',
      '12 B',
      '999 B',
      '48 MB',
      '4.0 GB',
      '31 GB',
      '1.0 GB',
      '2.5 TB'
    ]);
  });

  it('writes a part in the unit of the whole where that can be read', () => {
    assert.equal(formatBytesOf(1.2e9, 4e9), '1.2 of 4.0 GB');
    assert.equal(formatBytesOf(31e9, 80e9), '31 of 80 GB');
    assert.equal(formatBytesOf(0, 4e9), '0 of 4.0 GB');
    assert.equal(formatBytesOf(5e6, 4e9), '5.0 MB of 4.0 GB');
  });

  it('writes nouns in singular and plural', () => {
    assert.equal(formatNoun(1, 'worker'), '1 worker');
    assert.equal(formatNoun(0, 'worker'), '0 workers');
  });
});

describe('states', () => {
  it('have a shape and a colour of their own', () => {
    assert.equal(new Set(STATES.map(look => look.shape)).size, 6);
    assert.equal(new Set(STATES.map(look => look.color)).size, 6);
  });

  it('all stand in the bar', () => {
    assert.deepEqual([...BAR_ORDER].sort(), STATES.map(look => look.state).sort());
  });

  it('have words that agree with the number', () => {
    const wait = STATES[0]!;
    assert.equal(stateWord(wait, 1), 'waits for input');
    assert.equal(stateWord(wait, 2), 'wait for input');
    assert.equal(stateWord(wait, 0), 'wait for input');
  });
});

describe('history', () => {
  const sample = (time: number, cpus: number): ISample => ({ time, cpus, gpus: 0, store: 0 });

  it('keeps what the left edge needs and no more', () => {
    let history: ISample[] = [];
    for (let second = 0; second <= 100; second += 10) {
      history = addSample(history, sample(1000 * second, second));
    }
    // 100 s is now; 40 s is the edge; the sample of 40 s itself says what held there.
    assert.deepEqual(
      history.map(one => one.time),
      [40, 50, 60, 70, 80, 90, 100].map(second => 1000 * second)
    );
  });

  it('is a share at each of its moments, the last of which holds now', () => {
    assert.deepEqual(
      sharesOf([sample(0, 0), sample(30_000, 2)], one => one.cpus, 4, 60_000),
      [
        [0, 30_000, 60_000],
        [0, 0.5, 0.5]
      ]
    );
  });

  it('is nothing when nothing is known, and stays in its bounds', () => {
    assert.deepEqual(
      sharesOf([], one => one.cpus, 4, 1),
      [[], []]
    );
    const odd = [sample(-9e9, 5), sample(9e9, -5)];
    assert.deepEqual(sharesOf(odd, one => one.cpus, 4, 9e9)[1], [1, 0, 0]);
    assert.deepEqual(sharesOf(odd, one => one.cpus, 0, 9e9)[1], [0, 0, 0]);
  });
});

describe('emptyWords', () => {
  it('says what to do next when there is no cluster', () => {
    const words = emptyWords('live');
    assert.equal(words.sentence, 'No cluster yet. It starts with the first %%remote cell.');
    assert.ok(words.cell?.startsWith('%%remote'));
  });

  it('has a button exactly where it has a cell', () => {
    for (const status of [
      'nothing',
      'no-kernel',
      'asking',
      'no-nbray',
      'connecting',
      'live',
      'restarting'
    ] as const) {
      const words = emptyWords(status);
      assert.equal(words.button === undefined, words.cell === undefined);
      assert.ok(words.sentence.endsWith('.'));
    }
  });
});

describe('KernelMemory', () => {
  it('remembers over a reload, and forgets', () => {
    const stored = new Map<string, string>();
    const storage = {
      getItem: (key: string) => stored.get(key) ?? null,
      setItem: (key: string, value: string) => void stored.set(key, value)
    };
    new KernelMemory(storage).add('a');
    const later = new KernelMemory(storage);
    assert.ok(later.has('a'));
    later.delete('a');
    assert.ok(!new KernelMemory(storage).has('a'));
  });

  it('works without a storage, and with a spoilt one', () => {
    const memory = new KernelMemory(null);
    memory.add('a');
    assert.ok(memory.has('a'));
    const spoilt = { getItem: () => '{not json', setItem: () => assert.fail('not asked to write') };
    assert.ok(!new KernelMemory(spoilt).has('a'));
  });
});
