/** The golden event logs of `tests/events`: as frames they lead to the same tasks as in the reducer of Python. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { IFrame } from '../graph/frames.js';
import { readFrame } from '../model/feed.js';
import { TaskStore } from '../graph/taskStore.js';
import { STATE_OF_CODE } from '../graph/states.js';

interface IRow {
  owner: number;
  seq: number;
  name: string;
  state: string;
  error_type: string;
  attempt: number;
  submitted: number;
  start: number;
  end: number;
  process: number;
  origin: string;
}
type Sent = IFrame & { rows: string; edges: string };

const EVENTS = new URL('../../../tests/events/', import.meta.url);
const read = (path: string): unknown => JSON.parse(readFileSync(new URL(path, EVENTS), 'utf8'));
const bytes = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'));
const ns = (ms: number): number => Math.round(ms * 1e6);

/** The words of the page for the states that records tell of. */
const STATES: Record<string, string> = {
  FINISHED: 'FINISHED',
  FAILED: 'FAILED',
  PENDING_NODE_ASSIGNMENT: 'PENDING_NODE_ASSIGNMENT', // goes again after a run that ended with its worker
  SUBMITTED_TO_WORKER: 'PENDING_NODE_ASSIGNMENT'
};

const files = readdirSync(new URL('golden_frames/', EVENTS));
assert.ok(files.length >= 7);

for (const file of files) {
  test(`golden: ${file}`, () => {
    const store = new TaskStore();
    const { frames } = read(`golden_frames/${file}`) as { frames: Sent[] };
    frames.forEach(({ rows, edges, ...frame }, seq) => {
      const message = readFrame({ v: 1, seq: seq + 1, frame }, [bytes(rows), bytes(edges)])!;
      assert.ok(store.follows(message.frame));
      store.apply(message.frame, message.rows, message.edges, 0);
    });
    const { view } = read(`golden/${file}`) as { view: { tasks: IRow[] } };
    // What a page knows of a task; owners and numbers stay in the kernel.
    const wanted = view.tasks.map(row => [
      row.error_type === 'TASK_CANCELLED' ? 'CANCELLED' : STATES[row.state],
      row.attempt,
      row.submitted,
      row.start,
      row.end,
      row.process
    ]);
    const found: unknown[][] = [];
    for (let task = 0; task < store.count; task++) {
      const worker = store.worker[task]!;
      found.push([
        STATE_OF_CODE[store.state[task]!],
        store.attempt[task],
        ns(store.submitted[task]!),
        ns(store.start[task]!),
        ns(store.end[task]!),
        worker < 0 ? 0 : Number(store.workers[worker])
      ]);
    }
    const sorted = (rows: unknown[][]): string[] => rows.map(row => JSON.stringify(row)).sort();
    assert.deepEqual(sorted(found), sorted(wanted));
    const names = (all: string[]): string[] => [...new Set(all.filter(Boolean))].sort();
    assert.deepEqual(
      names(store.functions.map(({ name, origin }) => `${name} ${origin}`)),
      names(view.tasks.filter(row => row.name).map(row => `${row.name} ${row.origin}`))
    );
    const counted = store.counts.reduce((sum, count) => sum + count, 0);
    assert.equal(counted, view.tasks.length);
  });
}
