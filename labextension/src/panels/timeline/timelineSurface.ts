/** Draws the timeline: a lane per worker and one of the cells, and below it CPU, memory, store and GPUs on the same axis. */
import type { ICellSpan } from '../../graph/cellSpans.js';
import { gpuUses, type IGpuUse } from '../../graph/gpuUsers.js';
import { TimeScale } from '../../graph/timeScale.js';
import type { IUsageSample } from '../../graph/frames.js';
import { unbroken } from '../../graph/unbroken.js';
import { RUNNING } from '../../graph/taskStates.js';
import type { TaskStore } from '../../graph/taskStore.js';
import { formatBytesOf } from '../../graph/format.js';
import { hueOf } from '../palette.js';
import { shorten } from '../graph/stateShapes.js';
import { Surface } from '../surface.js';
import { t } from '../../text.js';
import { AXIS, TimelineLanes, type ILaneFacts } from './timelineLanes.js';

const CURVE = 52;
/** Of each row of the tasks that used a GPU. */
const USED_BY = 14;
/** Left of the lanes, for their names; a little less where there is little room. */
const NAMES = 128;
const NAMES_NARROW = 124;
/** Tasks that used a GPU and are named one by one. */
const NAMED = 6;

/** What the timeline tells the panel. */
export interface ITimelineEvents extends ILaneFacts {
  onSelect(task: number | null): void;
  onHover(what: ITimelineHit | null, x: number, y: number): void;
  /** A cell was clicked. */
  onCell(origin: string): void;
  /** A person has moved or scaled it, so it does not follow any more. */
  onHold(): void;
}

/** What is under the pointer. */
export type ITimelineHit = { task: number } | { cell: ICellSpan };

interface ICurve {
  name: string;
  words: string;
  color: string;
  /** 0 to 1. */
  value(sample: IUsageSample): number | null;
  /** What used it; null for all but GPUs. */
  uses: readonly IGpuUse[] | null;
  /** Height of the curve, and of what used it. */
  height: number;
}

/** The canvas of the timeline. */
export class TimelineSurface extends Surface {
  constructor(host: HTMLElement, store: TaskStore, events: ITimelineEvents) {
    super(host, 'timeline');
    this._store = store;
    this._events = events;
    this._lanes = new TimelineLanes(store, events);
    const { canvas } = this;
    canvas.addEventListener('wheel', this._onWheel, { passive: false });
    canvas.addEventListener('pointerdown', event => {
      // Along the times, or with Shift, a stretch is chosen; elsewhere the axis is moved.
      const brush = event.shiftKey || event.offsetY < AXIS;
      this._down = { x: event.offsetX, moved: false, brush: brush ? event.offsetX : null };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', this._onMove);
    canvas.addEventListener('pointerup', this._onUp);
    canvas.addEventListener('pointerleave', () => events.onHover(null, 0, 0));
  }

  readonly scale = new TimeScale();
  selected: number | null = null;
  storeCapacity = 0;

  /** Height that all lanes and curves need. */
  get wanted(): number {
    return this._curves().reduce((sum, { height }) => sum + height, this._floor()) + 8;
  }

  refresh(): void {
    this.request();
  }

  /** What it draws, in words: the lanes of the workers, then the curves, and who used each GPU. */
  words(): ReturnType<TimelineLanes['words']> & { curves: string[] } {
    const curves = this._curves().map(({ name, words, uses }) => {
      const used = uses === null ? '' : `, ${this._usedWords(uses)}`;
      return `${name}, ${words}${used}`;
    });
    return { ...this._lanes.words(), curves };
  }

  /** The tasks of a lane. */
  tasksOf(lane: number): number[] {
    return this._lanes.tasksOf(lane);
  }

  /** Mark a task, and bring it into view. */
  select(task: number | null): void {
    this.selected = task;
    const span = task === null ? null : this._lanes.spanOf(task);
    const box = this.host.parentElement;
    if (span !== null && box !== null) {
      const { start, end } = this._store;
      const over = end[task!]! > 0 ? end[task!]! : Math.max(start[task!]!, this.scale.to);
      this.scale.reveal(start[task!]!, over);
      const { scrollTop: top, clientHeight: height } = box;
      box.scrollTop = Math.max(span.bottom - height, Math.min(top, span.top - AXIS));
    }
    this.request();
  }

  /** Scale around the middle. */
  zoom(factor: number): void {
    const width = this.width - this._left();
    this.scale.zoom(factor, width / 2, width);
    this._events.onHold();
    this.request();
  }

  /** Move by a tenth of what is shown; 1: later. */
  move(steps: number): void {
    const width = this.width - this._left();
    this.scale.pan((-steps * width) / 10, width);
    this._events.onHold();
    this.request();
  }

  /** Show everything again, and keep up with now. */
  follow(): void {
    this.scale.follow = true;
    this.request();
  }

  protected override draw(): void {
    const { context, palette, _store: store, scale } = this;
    const now = store.clock(performance.now());
    const zero = this._lanes.first(now);
    scale.followTo(zero, now);
    const left = this._left();
    const width = this.width - left;
    context.font = `${palette.size - 1}px ${palette.font}`;
    context.textBaseline = 'middle';
    for (const tick of scale.ticks(Math.max(2, Math.floor(width / 90)), zero)) {
      const x = left + scale.x(tick.time, width);
      context.strokeStyle = palette.faint;
      context.lineWidth = 1;
      line(context, x, AXIS, x, this.height);
      if (x + 3 + context.measureText(tick.words).width < this.width) {
        context.fillStyle = palette.dim;
        context.fillText(tick.words, x + 3, AXIS / 2);
      }
    }
    context.save();
    context.beginPath();
    context.rect(left, 0, width, this.height);
    context.clip();
    this._lanes.draw(this, left, now);
    this._bars = [];
    let y = this._floor();
    for (const curve of this._curves()) {
      this._curve(curve, left, width, y);
      y += curve.height;
    }
    const x = left + scale.x(now, width);
    context.strokeStyle = palette.accent;
    context.lineWidth = 1.4;
    line(context, x, AXIS, x, this.height);
    if (this._down?.moved && this._down.brush !== null) {
      context.fillStyle = palette.accent;
      context.globalAlpha = 0.18;
      context.fillRect(this._down.brush, 0, this._down.x - this._down.brush, this.height);
      context.globalAlpha = 1;
    }
    context.restore();
    this._titles();
  }

  private _titles(): void {
    const { context, palette } = this;
    context.textBaseline = 'middle';
    this._lanes.drawNames(this, this._left());
    let y = this._floor();
    for (const curve of this._curves()) {
      context.fillStyle = palette.text;
      context.fillText(shorten(context, curve.name, this._left() - 12), 8, y + CURVE / 2 - 7);
      context.fillStyle = palette.dim;
      context.fillText(shorten(context, curve.words, this._left() - 10), 8, y + CURVE / 2 + 8);
      if (curve.uses !== null && curve.uses.length > 0) {
        context.fillText(t('used by'), 8, y + CURVE + USED_BY / 2 - 2);
      }
      y += curve.height;
    }
  }

  private _curve(curve: ICurve, left: number, width: number, y: number): void {
    const { context, palette, scale } = this;
    const samples = this._store.usage;
    const floor = y + CURVE - 4;
    const height = CURVE - 10;
    context.strokeStyle = palette.faint;
    context.lineWidth = 1;
    line(context, left, floor, left + width, floor);
    for (const part of unbroken(samples.filter(sample => curve.value(sample) !== null))) {
      const points = part.map((sample): [number, number] => [
        left + scale.x(sample.t_ns / 1e6, width),
        floor - height * Math.max(0, Math.min(1, curve.value(sample)!))
      ]);
      context.beginPath();
      points.forEach(([px, py], n) => (n === 0 ? context.moveTo(px, py) : context.lineTo(px, py)));
      context.strokeStyle = curve.color;
      context.lineWidth = 1.4;
      context.stroke();
      context.lineTo(points.at(-1)![0], floor);
      context.lineTo(points[0]![0], floor);
      context.closePath();
      context.globalAlpha = 0.16;
      context.fillStyle = curve.color;
      context.fill();
      context.globalAlpha = 1;
    }
    for (const use of curve.uses ?? []) {
      this._use(use, left, width, floor + 3 + use.row * USED_BY);
    }
  }

  /** Under a GPU: the tasks of a process that used it, while it did; its name where none of them is known. */
  private _use(use: IGpuUse, left: number, width: number, y: number): void {
    const { scale, context, _store: store } = this;
    const [from, to] = [use.from, use.to].map(time => left + scale.x(time, width)) as [
      number,
      number
    ];
    const known = use.tasks.length > 0;
    // Faint where it held memory only, as actors do between their calls.
    context.globalAlpha = known ? 0.25 : 1;
    const color = hueOf(known ? store.function[use.tasks[0]!]! : this._functionNamed(use.name));
    this._bar(from, to, y, color, known ? '' : use.name);
    context.globalAlpha = 1;
    const now = store.clock(performance.now());
    let painted = -1;
    for (const task of use.tasks) {
      const end = store.state[task] === RUNNING ? now : store.end[task]!;
      const x1 = left + scale.x(Math.max(use.from, store.start[task]!), width);
      const x2 = Math.max(x1 + 1, left + scale.x(Math.min(use.to, end), width) - 0.5);
      if (x2 - x1 <= 1 && Math.floor(x1) === painted) {
        continue;
      }
      painted = Math.floor(x1);
      this._bar(x1, x2, y, hueOf(store.function[task]!), store.title(task));
      this._bars.push({ x1, x2, y, task });
      if (task === this.selected) {
        this.context.strokeStyle = this.palette.accent;
        this.context.lineWidth = 2;
        this.context.strokeRect(x1, y, x2 - x1, USED_BY - 2);
      }
    }
  }

  private _bar(x1: number, x2: number, y: number, color: string, words: string): void {
    const { context } = this;
    context.fillStyle = color;
    context.fillRect(x1, y, Math.max(1, x2 - x1), USED_BY - 2);
    if (x2 - x1 > 40) {
      context.fillStyle = '#1b1b1b';
      context.fillText(shorten(context, words, x2 - x1 - 8), x1 + 4, y + USED_BY / 2);
    }
  }

  /** `used by train[0], train[1]`; of more tasks than a few, their functions. */
  private _usedWords(uses: readonly IGpuUse[]): string {
    const { _store: store } = this;
    const tasks = new Set(uses.flatMap(use => use.tasks));
    const names =
      tasks.size > 0 && tasks.size <= NAMED
        ? [...tasks].map(task => store.title(task))
        : uses.map(use => use.name);
    return names.length === 0
      ? t('used by no task')
      : t('used by %1', [...new Set(names)].join(', '));
  }

  /** What used the n-th GPU, looked up anew when the tasks or the samples have changed. */
  private _usesOf(n: number): readonly IGpuUse[] {
    const store = this._store;
    if (this._usesVersion !== store.version) {
      this._usesVersion = store.version;
      this._uses.clear();
    }
    let uses = this._uses.get(n);
    if (uses === undefined) {
      uses = gpuUses(store, n, store.clock(performance.now()));
      this._uses.set(n, uses);
    }
    return uses;
  }

  private _functionNamed(name: string): number {
    const { functions } = this._store;
    const own = functions.findIndex(func => func?.name === name);
    // An actor that holds memory has the hue of its first method.
    const method = functions.findIndex(func => func?.name.startsWith(`${name}.`));
    return Math.max(0, own >= 0 ? own : method);
  }

  private _curves(): ICurve[] {
    const last = this._store.usage.at(-1);
    if (last === undefined) {
      return [];
    }
    const { palette } = this;
    const curves: ICurve[] = [
      {
        name: t('CPU'),
        words: `${Math.round(last.cpu * 100)} %`,
        color: palette.states[RUNNING]!,
        value: sample => sample.cpu,
        uses: null,
        height: CURVE + 6
      },
      {
        name: t('memory'),
        words: formatBytesOf(last.memory_used, last.memory_total),
        color: palette.memory,
        value: sample => sample.memory_used / sample.memory_total,
        uses: null,
        height: CURVE + 6
      }
    ];
    if (this.storeCapacity > 0) {
      curves.push({
        name: t('object store'),
        words: formatBytesOf(last.store_used, this.storeCapacity),
        color: palette.store,
        value: sample => sample.store_used / this.storeCapacity,
        uses: null,
        height: CURVE + 6
      });
    }
    last.gpus.forEach((gpu, n) => {
      const share = gpu.utilization === null ? '' : `${Math.round(gpu.utilization * 100)} % · `;
      const uses = this._usesOf(n);
      const rows = Math.max(0, ...uses.map(use => use.row)) + 1;
      curves.push({
        name: t('GPU %1', gpu.index),
        words: share + formatBytesOf(gpu.used, gpu.total),
        color: palette.gpu,
        value: sample => {
          const then = sample.gpus[n];
          return then === undefined ? null : (then.utilization ?? then.used / then.total);
        },
        uses,
        height: CURVE + 6 + rows * USED_BY
      });
    });
    return curves;
  }

  /** Where the lanes end. */
  private _floor(): number {
    return this._lanes.end + 8;
  }

  private _left(): number {
    return this.width < 480 ? NAMES_NARROW : NAMES;
  }

  /** The task and the run of a cell at a point. */
  private _at(x: number, y: number): { task: number | null; cell: ICellSpan | null } {
    const left = this._left();
    if (x < left) {
      return { task: null, cell: null };
    }
    const width = this.width - left;
    const slack = ((this.scale.to - this.scale.from) / width) * 2;
    const time = this.scale.time(x - left, width);
    const bar = this._bars.find(
      one => x >= one.x1 - 1 && x <= one.x2 + 1 && y >= one.y && y < one.y + USED_BY
    );
    return {
      task: bar?.task ?? this._lanes.taskAt(y, time, slack),
      cell: this._lanes.cellAt(y, time, slack)
    };
  }

  private _hit(x: number, y: number): ITimelineHit | null {
    const { task, cell } = this._at(x, y);
    return task !== null ? { task } : cell !== null ? { cell } : null;
  }

  private readonly _onWheel = (event: WheelEvent): void => {
    if (event.shiftKey && !event.ctrlKey) {
      return; // the page scrolls
    }
    event.preventDefault();
    const width = this.width - this._left();
    this.scale.zoom(Math.exp(-event.deltaY * 0.0016), event.offsetX - this._left(), width);
    this._events.onHold();
    this.request();
  };

  private readonly _onMove = (event: PointerEvent): void => {
    const down = this._down;
    if (down === null) {
      const { offsetX: x, offsetY: y } = event;
      this._events.onHover(this._hit(x, y), x, y);
      return;
    }
    const dx = event.offsetX - down.x;
    if (down.moved || Math.abs(dx) > 4) {
      down.moved = true;
      down.x = event.offsetX;
      if (down.brush !== null) {
        this.request();
        return;
      }
      this.scale.pan(dx, this.width - this._left());
      this._events.onHold();
      this.request();
    }
  };

  private readonly _onUp = (event: PointerEvent): void => {
    const down = this._down;
    this._down = null;
    if (down?.moved && down.brush !== null) {
      const left = this._left();
      this.scale.show(down.brush - left, event.offsetX - left, this.width - left);
      this._events.onHold();
      this.request();
    } else if (down !== null && !down.moved) {
      const cell = this._at(event.offsetX, event.offsetY).cell;
      if (cell !== null) {
        this._events.onCell(cell.origin);
        return;
      }
      this.selected = this._at(event.offsetX, event.offsetY).task;
      this._events.onSelect(this.selected);
      this.request();
    }
  };

  private readonly _store: TaskStore;
  private readonly _events: ITimelineEvents;
  private readonly _lanes: TimelineLanes;
  /** The bars under the GPUs, as they were drawn last. */
  private _bars: { x1: number; x2: number; y: number; task: number }[] = [];
  private readonly _uses = new Map<number, readonly IGpuUse[]>();
  private _usesVersion = -1;
  private _down: { x: number; moved: boolean; brush: number | null } | null = null;
}

function line(
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
