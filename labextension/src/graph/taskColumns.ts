/** What is known per task, in typed arrays that grow. Pure. */
import { enlarge } from './columns.js';

const FIRST_SIZE = 1024;

/** The columns. Only the first `count` elements of each mean something. */
export class TaskColumns {
  count = 0;
  state = new Uint8Array(FIRST_SIZE);
  attempt = new Uint16Array(FIRST_SIZE);
  function = new Uint32Array(FIRST_SIZE);
  parent = new Int32Array(FIRST_SIZE);
  worker = new Int32Array(FIRST_SIZE);
  group = new Int32Array(FIRST_SIZE);
  /** Place of a task in its group. */
  place = new Int32Array(FIRST_SIZE);
  /** The same among all that its group has had: its name keeps it. */
  ordinal = new Uint32Array(FIRST_SIZE);
  submitted = new Float64Array(FIRST_SIZE);
  start = new Float64Array(FIRST_SIZE);
  end = new Float64Array(FIRST_SIZE);
  /** When its owner made it; 0: nobody knows. */
  made = new Float64Array(FIRST_SIZE);
  /** When this page heard that its inputs had come; 0: it did not. */
  ready = new Float64Array(FIRST_SIZE);

  /** Make room for one task more; returns its index, at which nothing is cleared. */
  protected addRow(): number {
    if (this.count === this.state.length) {
      this._grow();
    }
    return this.count++;
  }

  /**
   * The rows before `end` are gone, but for those that are kept, which come first now: all others get lower indexes.
   * Returns where each row is now; negative: it is gone.
   */
  protected cutRows(end: number, kept: readonly number[]): Int32Array {
    const before = this.count;
    const now = new Int32Array(before).fill(-1);
    kept.forEach((task, place) => task < before && (now[task] = place));
    for (let task = end; task < before; task++) {
      now[task] = task - end + kept.length;
    }
    const first = kept.filter(task => task < before);
    for (const name of COLUMNS) {
      const column = this[name];
      first.forEach((task, place) => (column[place] = column[task]!));
      if (end < before) {
        column.copyWithin(kept.length, end, before);
      }
    }
    this.count = end < before ? kept.length + before - end : first.length;
    for (let task = 0; task < this.count; task++) {
      const parent = this.parent[task]!;
      this.parent[task] = parent >= 0 && parent < before ? now[parent]! : -1;
    }
    return now;
  }

  private _grow(): void {
    const size = this.state.length * 2;
    this.state = enlarge(this.state, new Uint8Array(size));
    this.attempt = enlarge(this.attempt, new Uint16Array(size));
    this.function = enlarge(this.function, new Uint32Array(size));
    this.parent = enlarge(this.parent, new Int32Array(size));
    this.worker = enlarge(this.worker, new Int32Array(size));
    this.group = enlarge(this.group, new Int32Array(size));
    this.place = enlarge(this.place, new Int32Array(size));
    this.ordinal = enlarge(this.ordinal, new Uint32Array(size));
    this.submitted = enlarge(this.submitted, new Float64Array(size));
    this.start = enlarge(this.start, new Float64Array(size));
    this.end = enlarge(this.end, new Float64Array(size));
    this.made = enlarge(this.made, new Float64Array(size));
    this.ready = enlarge(this.ready, new Float64Array(size));
  }
}

/** What there is per task. */
const COLUMNS = [
  ...(['state', 'attempt', 'function', 'parent', 'worker', 'group', 'place', 'ordinal'] as const),
  ...(['submitted', 'start', 'end', 'made', 'ready'] as const)
] as const;
