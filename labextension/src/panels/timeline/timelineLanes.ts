/** The lanes of the timeline: one per worker with its tasks, and one with the runs of cells. */
import { ACTOR_CALL } from '../../graph/actorCalls.js';
import {
  cellSpans,
  spansOfTasks,
  type ICellSpan,
  type ISpansOfTasks
} from '../../graph/cellSpans.js';
import { FAILED, RUNNING } from '../../graph/taskStates.js';
import type { TaskStore } from '../../graph/taskStore.js';
import { actorName, byActorName, workerName } from '../../graph/workerNames.js';
import type { TimeScale } from '../../graph/timeScale.js';
import { hueOf, type IPalette } from '../palette.js';
import { shorten } from '../graph/stateShapes.js';
import { t } from '../../text.js';

/** Height of the times above the lanes, and of one lane. */
export const AXIS = 22;
const LANE = 22;

/** What the lanes have to know beyond the tasks. */
export interface ILaneFacts {
  /** The runs of cells that the page has seen, and the number of any other cell. */
  cellRuns(): readonly ICellSpan[];
  cellNumber(origin: string): number | null;
}

/** Where lanes and curves are drawn. */
export interface ITimelineCanvas {
  readonly context: CanvasRenderingContext2D;
  readonly palette: IPalette;
  readonly width: number;
  readonly scale: TimeScale;
  readonly selected: number | null;
}

/** The lanes of one cluster. */
export class TimelineLanes {
  constructor(store: TaskStore, facts: ILaneFacts) {
    this._store = store;
    this._facts = facts;
  }

  /** Where they end. */
  get end(): number {
    return AXIS + (this._lanes().length + (this._cells().length > 0 ? 1 : 0)) * LANE;
  }

  /** When the first of the tasks began; `now`: none has. */
  first(now: number): number {
    let first = now;
    for (let task = 0; task < Math.min(this._store.count, 1000); task++) {
      const start = this._store.start[task]!;
      if (start > 0 && start < first) {
        first = start;
      }
    }
    // Before the first of them, the axis begins where something is known of the node.
    const [sample] = this._store.usage;
    return first === now && sample !== undefined ? Math.min(now, sample.t_ns / 1e6) : first;
  }

  /** What they show, in words. */
  words(): { lanes: { lane: number; worker: number; words: string }[]; cells: string[] } {
    const store = this._store;
    const done = new Map<number, number>();
    const now = new Map<number, string[]>();
    for (let task = 0; task < store.count; task++) {
      const lane = this._laneOf(task);
      if (lane >= 0) {
        done.set(lane, (done.get(lane) ?? 0) + 1);
        if (store.state[task] === RUNNING) {
          now.set(lane, [...(now.get(lane) ?? []), store.title(task)]);
        }
      }
    }
    const lanes = this._lanes().map(lane => {
      const count = done.get(lane) ?? 0;
      const running = now.get(lane) ?? [];
      const parts = [this._nameOf(lane), count === 1 ? t('1 task') : t('%1 tasks', count)];
      if (running.length > 0) {
        parts.push(t('runs %1', running.slice(0, 4).join(', ')));
      }
      return { lane, worker: workerOf(lane), words: parts.join(', ') };
    });
    const ran = this._cells();
    const last = ran.at(-1);
    const cells =
      last === undefined
        ? []
        : [
            last.to !== null
              ? t('cells, %1 runs, cell %2 ran last', ran.length, last.number)
              : last.isGuess
                ? t('cells, %1 runs, tasks of cell %2 run', ran.length, last.number)
                : t('cells, %1 runs, cell %2 runs', ran.length, last.number)
          ];
    return { lanes, cells };
  }

  /** The tasks of one of them, in the order in which they were submitted. */
  tasksOf(lane: number): number[] {
    const tasks: number[] = [];
    for (let task = 0; task < this._store.count; task++) {
      if (this._laneOf(task) === lane) {
        tasks.push(task);
      }
    }
    return tasks;
  }

  /** From where to where a task's lane goes; null: it has not run. */
  spanOf(task: number): { top: number; bottom: number } | null {
    const n = this._lanes().indexOf(this._laneOf(task));
    return n < 0 ? null : { top: AXIS + n * LANE, bottom: AXIS + (n + 1) * LANE };
  }

  /** Draw the bars, right of `left`. */
  draw(on: ITimelineCanvas, left: number, now: number): void {
    this._drawTasks(on, left, now);
    this._drawCells(on, left, now);
  }

  /** Draw their names, left of `left`. */
  drawNames(on: ITimelineCanvas, left: number): void {
    const { context, palette } = on;
    const lanes = this._lanes();
    lanes.forEach((lane, n) => {
      context.fillStyle = palette.text;
      const words = shorten(context, this._nameOf(lane), left - 14);
      context.fillText(words, 8, AXIS + n * LANE + LANE / 2);
    });
    if (this._cells().length > 0) {
      context.fillStyle = palette.text;
      context.fillText(t('cells'), 8, AXIS + lanes.length * LANE + LANE / 2);
    }
  }

  /** The task at a time of a lane; a little beside it counts too. */
  taskAt(y: number, time: number, slack: number): number | null {
    const store = this._store;
    const lane = this._lanes()[Math.floor((y - AXIS) / LANE)];
    if (lane === undefined || y < AXIS) {
      return null;
    }
    const now = store.clock(performance.now());
    let best: number | null = null;
    for (let task = 0; task < store.count; task++) {
      const start = store.start[task]!;
      const end = store.state[task] === RUNNING ? now : store.end[task]!;
      if (this._laneOf(task) === lane && start - slack <= time && end + slack >= time) {
        best = task;
        if (start <= time && end >= time) {
          return task;
        }
      }
    }
    return best;
  }

  /** The run of a cell there. */
  cellAt(y: number, time: number, slack: number): ICellSpan | null {
    const top = AXIS + this._lanes().length * LANE;
    if (y < top || y >= top + LANE) {
      return null;
    }
    const hit = ({ from, to }: ICellSpan): boolean =>
      from - slack <= time && (to ?? Infinity) + slack >= time;
    return this._cells().filter(hit).at(-1) ?? null;
  }

  /** The tasks, as bars; what is narrower than a pixel is drawn once per pixel. */
  private _drawTasks(on: ITimelineCanvas, left: number, now: number): void {
    const { context, palette, scale, selected } = on;
    const width = on.width - left;
    const store = this._store;
    const lanes = this._lanes();
    const placeOf = new Map(lanes.map((lane, n) => [lane, n]));
    const painted = lanes.map(() => -1);
    const failed: [x: number, y: number][] = [];
    for (let task = 0; task < store.count; task++) {
      const start = store.start[task]!;
      const lane = placeOf.get(this._laneOf(task));
      if (lane === undefined) {
        continue;
      }
      const state = store.state[task]!;
      const end = state === RUNNING ? now : store.end[task]!;
      if (end < scale.from || start > scale.to || end < start) {
        continue;
      }
      const x1 = left + scale.x(start, width);
      const x2 = Math.max(x1 + 1, left + scale.x(end, width) - 0.5);
      const chosen = task === selected;
      if (x2 - x1 <= 1.01 && !chosen && state !== FAILED && painted[lane] === Math.floor(x1)) {
        continue;
      }
      const y = AXIS + lane * LANE + 3;
      if (state === FAILED && x2 - x1 <= 1.01 && !chosen) {
        failed.push([x1, y]);
        continue;
      }
      painted[lane] = Math.floor(x1);
      context.fillStyle = state === FAILED ? palette.states[FAILED]! : hueOf(store.function[task]!);
      context.fillRect(x1, y, x2 - x1, LANE - 6);
      if (chosen) {
        context.strokeStyle = palette.accent;
        context.lineWidth = 2;
        context.strokeRect(x1 - 1, y - 1, x2 - x1 + 2, LANE - 4);
      }
      if (x2 - x1 > 46) {
        context.fillStyle = '#1b1b1b';
        context.save();
        context.beginPath();
        context.rect(x1, y, x2 - x1 - 4, LANE - 6);
        context.clip();
        context.fillText(store.title(task), Math.max(x1, left) + 5, y + (LANE - 6) / 2 + 0.5);
        context.restore();
      }
    }
    // Of many in a pixel, one that has failed is seen, and is not all there is.
    context.fillStyle = palette.states[FAILED]!;
    failed.forEach(([x, y]) => context.fillRect(x, y + (LANE - 6) / 2, 1, (LANE - 6) / 2));
  }

  /** The runs of cells, each with its number; the one that runs now has the colour of what runs. */
  private _drawCells(on: ITimelineCanvas, left: number, now: number): void {
    const { context, palette, scale } = on;
    const width = on.width - left;
    const y = AXIS + this._lanes().length * LANE + 4.5;
    const high = LANE - 9;
    context.lineWidth = 1;
    for (const { number, from, to, isGuess } of this._cells()) {
      const end = to ?? now;
      const runs = to === null && !isGuess;
      if (end < scale.from || from > scale.to) {
        continue;
      }
      const x1 = Math.max(left - 2, left + scale.x(from, width)) + 0.5;
      const x2 = Math.max(x1 + 1, Math.min(on.width + 2, left + scale.x(end, width) - 0.5));
      context.fillStyle = runs ? palette.states[RUNNING]! : palette.dim;
      context.globalAlpha = 0.16;
      context.fillRect(x1, y, x2 - x1, high);
      context.globalAlpha = 1;
      context.strokeStyle = runs ? palette.states[RUNNING]! : palette.line;
      context.strokeRect(x1, y, x2 - x1, high);
      const words = runs ? t('%1 runs', number) : String(number);
      const room = x2 - Math.max(x1, left) - 8;
      if (context.measureText(words).width <= room) {
        context.fillStyle = palette.text;
        context.fillText(words, Math.max(x1, left) + 5, y + high / 2 + 0.5);
      }
    }
  }

  /**
   * Workers that ran something, in the order in which they were first heard of, then actors by their names. A worker
   * that became an actor has two lanes: what it ran before is not the actor's.
   */
  private _lanes(): number[] {
    const { _store: store } = this;
    if (this._lanesVersion !== store.version) {
      this._lanesVersion = store.version;
      this._isCall = store.functions.map(func => func?.kind === ACTOR_CALL);
      const seen = new Set<number>();
      for (let task = 0; task < store.count; task++) {
        const lane = this._laneOf(task);
        if (lane >= 0) {
          seen.add(lane);
        }
      }
      const byName = byActorName(store);
      this._laneList = [...seen].sort((a, b) =>
        isOfActor(a) && isOfActor(b) ? byName(workerOf(a), workerOf(b)) : (a % 2) - (b % 2) || a - b
      );
    }
    return this._laneList;
  }

  /** The lane of a task; negative: it has not run. */
  private _laneOf(task: number): number {
    const store = this._store;
    const worker = store.start[task]! > 0 ? store.worker[task]! : -1;
    return worker < 0 ? -1 : 2 * worker + (this._isCall[store.function[task]!] === true ? 1 : 0);
  }

  private _nameOf(lane: number): string {
    const worker = workerOf(lane);
    return isOfActor(lane) ? actorName(this._store, worker) : workerName(worker);
  }

  /** The runs of cells that the axis can show. */
  private _cells(): ICellSpan[] {
    const { _store: store } = this;
    if (this._spansVersion !== store.version) {
      this._spansVersion = store.version;
      this._spans = spansOfTasks(store);
    }
    const { cellRuns, cellNumber } = this._facts;
    const first = this.first(store.clock(performance.now()));
    return cellSpans(cellRuns(), this._spans, store.wall, cellNumber).filter(
      ({ to }) => to === null || to > first
    );
  }

  private readonly _store: TaskStore;
  private readonly _facts: ILaneFacts;
  private _laneList: number[] = [];
  private _lanesVersion = -1;
  private _spans: ISpansOfTasks = new Map();
  private _spansVersion = -1;
  /** By function: whether it is a method of an actor. */
  private _isCall: boolean[] = [];
}

/** The worker of a lane; and whether it is that of the actor which it became. */
function workerOf(lane: number): number {
  return lane >> 1;
}

function isOfActor(lane: number): boolean {
  return lane % 2 === 1;
}

/** A line on the canvas. */
export function line(
  context: CanvasRenderingContext2D,
  x1: number,
  y1: number,
  x2: number,
  y2: number
): void {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}
