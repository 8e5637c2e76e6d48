/** The lanes of the timeline: one per worker with its tasks, and one with the runs of cells. */
import { ACTOR_CALL } from '../../graph/actorCalls.js';
import {
  cellSpans,
  spansOfTasks,
  type ICellSpan,
  type ISpansOfTasks
} from '../../graph/cellSpans.js';
import { laneName } from '../../graph/lanes.js';
import { FAILED, RUNNING, type TaskStore } from '../../graph/taskStore.js';
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
  /** What the lane of a worker is called: its actor's name, where it has one. */
  laneName(worker: number): string;
}

/** Where they are drawn. */
export interface ILaneCanvas {
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
    return AXIS + (this._workers().length + (this._cells().length > 0 ? 1 : 0)) * LANE;
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
    return first;
  }

  /** What they show, in words. */
  words(): { lanes: { worker: number; words: string }[]; cells: string[] } {
    const store = this._store;
    const done = new Map<number, number>();
    const now = new Map<number, string[]>();
    for (let task = 0; task < store.count; task++) {
      const worker = store.worker[task]!;
      if (store.start[task]! > 0) {
        done.set(worker, (done.get(worker) ?? 0) + 1);
        if (store.state[task] === RUNNING) {
          now.set(worker, [...(now.get(worker) ?? []), store.title(task)]);
        }
      }
    }
    const lanes = this._workers().map(worker => {
      const count = done.get(worker) ?? 0;
      const running = now.get(worker) ?? [];
      const parts = [
        ...this._actorOf(worker),
        this._facts.laneName(worker),
        count === 1 ? t('1 task') : t('%1 tasks', count)
      ];
      if (running.length > 0) {
        parts.push(t('runs %1', running.slice(0, 4).join(', ')));
      }
      return { worker, words: parts.join(', ') };
    });
    const ran = this._cells();
    const last = ran.at(-1);
    const cells =
      last === undefined
        ? []
        : [
            last.to === null
              ? t('cells, %1 runs, cell %2 runs', ran.length, last.number)
              : t('cells, %1 runs, cell %2 ran last', ran.length, last.number)
          ];
    return { lanes, cells };
  }

  /** Draw the bars, right of `left`. */
  draw(on: ILaneCanvas, left: number, now: number): void {
    this._drawTasks(on, left, now);
    this._drawCells(on, left, now);
  }

  /** Draw their names, left of `left`. */
  drawNames(on: ILaneCanvas, left: number): void {
    const { context, palette } = on;
    const lanes = this._workers();
    lanes.forEach((worker, n) => {
      context.fillStyle = palette.text;
      const [own, of] = [this._facts.laneName(worker), this._actorOf(worker)[0]];
      // An actor without a name goes by its class.
      const words = of !== undefined && own === laneName(worker) ? `${of} ${worker + 1}` : own;
      context.fillText(shorten(context, words, left - 14), 8, AXIS + n * LANE + LANE / 2);
    });
    if (this._cells().length > 0) {
      context.fillStyle = palette.text;
      context.fillText(t('cells'), 8, AXIS + lanes.length * LANE + LANE / 2);
    }
  }

  /** The task at a time of a lane; a little beside it counts too. */
  taskAt(y: number, time: number, slack: number): number | null {
    const store = this._store;
    const lane = this._workers()[Math.floor((y - AXIS) / LANE)];
    if (lane === undefined || y < AXIS) {
      return null;
    }
    const now = store.clock(performance.now());
    let best: number | null = null;
    for (let task = 0; task < store.count; task++) {
      const start = store.start[task]!;
      const end = store.state[task] === RUNNING ? now : store.end[task]!;
      if (
        store.worker[task] === lane &&
        start > 0 &&
        start - slack <= time &&
        end + slack >= time
      ) {
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
    const top = AXIS + this._workers().length * LANE;
    if (y < top || y >= top + LANE) {
      return null;
    }
    const hit = ({ from, to }: ICellSpan): boolean =>
      from - slack <= time && (to ?? Infinity) + slack >= time;
    return this._cells().filter(hit).at(-1) ?? null;
  }

  /** The tasks, as bars; what is narrower than a pixel is drawn once per pixel. */
  private _drawTasks(on: ILaneCanvas, left: number, now: number): void {
    const { context, palette, scale, selected } = on;
    const width = on.width - left;
    const store = this._store;
    const lanes = this._workers();
    const laneOf = new Map(lanes.map((worker, n) => [worker, n]));
    const painted = lanes.map(() => -1);
    for (let task = 0; task < store.count; task++) {
      const start = store.start[task]!;
      const lane = start > 0 ? laneOf.get(store.worker[task]!) : undefined;
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
      painted[lane] = Math.floor(x1);
      const y = AXIS + lane * LANE + 3;
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
  }

  /** The runs of cells, each with its number; the one that runs now has the colour of what runs. */
  private _drawCells(on: ILaneCanvas, left: number, now: number): void {
    const { context, palette, scale } = on;
    const width = on.width - left;
    const y = AXIS + this._workers().length * LANE + 4.5;
    const high = LANE - 9;
    context.lineWidth = 1;
    for (const { number, from, to } of this._cells()) {
      const end = to ?? now;
      if (end < scale.from || from > scale.to) {
        continue;
      }
      const x1 = Math.max(left - 2, left + scale.x(from, width)) + 0.5;
      const x2 = Math.max(x1 + 1, Math.min(on.width + 2, left + scale.x(end, width) - 0.5));
      context.fillStyle = to === null ? palette.states[RUNNING]! : palette.dim;
      context.globalAlpha = 0.16;
      context.fillRect(x1, y, x2 - x1, high);
      context.globalAlpha = 1;
      context.strokeStyle = to === null ? palette.states[RUNNING]! : palette.line;
      context.strokeRect(x1, y, x2 - x1, high);
      const words = to === null ? t('%1 runs', number) : String(number);
      const room = x2 - Math.max(x1, left) - 8;
      if (context.measureText(words).width <= room) {
        context.fillStyle = palette.text;
        context.fillText(words, Math.max(x1, left) + 5, y + high / 2 + 0.5);
      }
    }
  }

  /** Workers that ran something, in the order in which they were first heard of. */
  private _workers(): number[] {
    if (this._lanesVersion !== this._store.version) {
      this._lanesVersion = this._store.version;
      this._actors.clear();
      const { functions } = this._store;
      const seen = new Set<number>();
      for (let task = 0; task < this._store.count; task++) {
        if (this._store.start[task]! > 0 && this._store.worker[task]! >= 0) {
          const func = functions[this._store.function[task]!];
          seen.add(this._store.worker[task]!);
          if (func?.kind === ACTOR_CALL) {
            this._actors.set(this._store.worker[task]!, func.name.split('.')[0]!);
          }
        }
      }
      this._laneList = [...seen].sort((a, b) => a - b);
    }
    return this._laneList;
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

  /** The class of the actor that a worker is; none: it is no actor. */
  private _actorOf(worker: number): string[] {
    const name = this._actors.get(worker);
    return name === undefined ? [] : [name];
  }

  private readonly _store: TaskStore;
  private readonly _facts: ILaneFacts;
  private _laneList: number[] = [];
  private _lanesVersion = -1;
  private _spans: ISpansOfTasks = new Map();
  private _spansVersion = -1;
  private readonly _actors = new Map<number, string>();
}
