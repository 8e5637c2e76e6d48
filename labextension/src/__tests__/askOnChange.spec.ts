/** Tables ask when something changes, and not while nothing does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AskOnChange } from '../model/askOnChange.js';

/** A clock that the test moves, and a kernel that answers when told. */
class World {
  now = 0;
  seen = true;
  asked: number[] = [];
  timers: { at: number; action: () => void }[] = [];
  asker: AskOnChange;

  constructor(
    every: number,
    public answers = true
  ) {
    this.asker = new AskOnChange({
      every,
      ask: () => {
        this.asked.push(this.now);
        return Promise.resolve(this.answers);
      },
      isSeen: () => this.seen,
      now: () => this.now,
      setTimeout: (action, delay) => this.timers.push({ at: this.now + delay, action })
    });
    this.asker.look();
  }

  async until(end: number): Promise<void> {
    for (; this.now < end; this.now += 1) {
      const due = this.timers.filter(({ at }) => at <= this.now);
      this.timers = this.timers.filter(({ at }) => at > this.now);
      due.forEach(({ action }) => action());
      await new Promise(resolve => setImmediate(resolve));
    }
  }
}

test('nothing changes, nothing is asked', async () => {
  const world = new World(10);
  await world.until(100);
  assert.deepEqual(world.asked, [0]);
});

test('changes are asked about at most so often, and once more after the last', async () => {
  const world = new World(10);
  await world.until(20);
  for (let n = 0; n < 15; n++) {
    world.asker.changed();
    await world.until(21 + n);
  }
  await world.until(100);
  assert.deepEqual(world.asked, [0, 20, 30, 40, 50]);
});

test('who does not look is not asked for', async () => {
  const world = new World(10);
  await world.until(5);
  world.seen = false;
  world.asker.changed();
  await world.until(50);
  assert.deepEqual(world.asked, [0]);
  world.seen = true;
  world.asker.look();
  await world.until(100);
  assert.deepEqual(world.asked, [0, 50, 60]);
});

test('without an answer it tries again; one that is asked once does not', async () => {
  const [often, once] = [new World(10, false), new World(0, false)];
  await often.until(15);
  often.answers = true;
  await often.until(100);
  assert.deepEqual(often.asked, [0, 10, 20]);
  await once.until(5);
  once.asker.changed();
  await once.until(50);
  assert.deepEqual(once.asked, [0]);
});
