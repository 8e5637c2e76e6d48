/** The canvas of the timeline: lanes (`timelineLanes.ts`) and curves (`timelineCurves.ts`) on one time axis, moved by pointer and keys. */
import type { ICellSpan } from '../../graph/cellSpans.js';
import { TimeScale } from '../../graph/timeScale.js';
import type { TaskStore } from '../../graph/taskStore.js';
import { Surface } from '../surface.js';
import { TimelineCurves, type ICurveHit } from './timelineCurves.js';
import { AXIS, line, TimelineLanes, type ILaneFacts } from './timelineLanes.js';

/** Left of the lanes, for their names; a little less where there is little room. */
const NAMES = 128;
const NAMES_NARROW = 124;

/** What the timeline tells the panel. */
export interface ITimelineEvents extends ILaneFacts {
  onSelect(task: number | null): void;
  onHover(what: ITimelineHit | null, x: number, y: number): void;
  /** A cell was clicked. */
  onCell(origin: string): void;
  /** A person has moved or scaled it, so it does not follow any more. */
  onHold(): void;
}

/** What is under the pointer; of a curve also how long after the first task that is. */
export type ITimelineHit = { task: number } | { cell: ICellSpan } | (ICurveHit & { after: number });

/** The canvas of the timeline. */
export class TimelineSurface extends Surface {
  constructor(host: HTMLElement, store: TaskStore, events: ITimelineEvents) {
    super(host, 'timeline');
    this._store = store;
    this._events = events;
    this._lanes = new TimelineLanes(store, events);
    this.curves = new TimelineCurves(store);
    const { canvas } = this;
    canvas.after(this.curves.element);
    canvas.addEventListener('wheel', this._onWheel, { passive: false });
    canvas.addEventListener('pointerdown', event => {
      // Along the times, or with Shift, a stretch is chosen; elsewhere the axis is moved.
      const brush = event.shiftKey || event.offsetY < AXIS;
      this._down = { x: event.offsetX, moved: false, brush: brush ? event.offsetX : null };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', this._onMove);
    canvas.addEventListener('pointerup', this._onUp);
    canvas.addEventListener('pointerleave', () => {
      events.onHover(null, 0, 0);
      this._pointAt(null);
    });
  }

  readonly scale = new TimeScale();
  selected: number | null = null;
  readonly curves: TimelineCurves;

  /** Height that all lanes and curves need. */
  get wanted(): number {
    return this._floor() + this.curves.height(this.palette) + 8;
  }

  refresh(): void {
    this.request();
  }

  /** What it draws, in words: the lanes of the workers, then the curves, and who used each GPU. */
  words(): ReturnType<TimelineLanes['words']> & { curves: string[] } {
    return { ...this._lanes.words(), curves: this.curves.words(this.palette) };
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

  override dispose(): void {
    super.dispose();
    this.curves.dispose();
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
    this.curves.draw(this, left, this._floor(), this._pointer);
    const x = left + scale.x(now, width);
    context.strokeStyle = palette.accent;
    context.lineWidth = 1.4;
    line(context, x, AXIS, x, this.height);
    if (this._pointer !== null) {
      // Through all lanes and curves: what went on then.
      context.strokeStyle = palette.dim;
      context.lineWidth = 1;
      line(context, this._pointer, AXIS, this._pointer, this.height);
    }
    if (this._down?.moved && this._down.brush !== null) {
      context.fillStyle = palette.accent;
      context.globalAlpha = 0.18;
      context.fillRect(this._down.brush, 0, this._down.x - this._down.brush, this.height);
      context.globalAlpha = 1;
    }
    context.restore();
    this._lanes.drawNames(this, left);
    this.curves.drawNames(this, left, this._floor());
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
    return {
      task: this.curves.taskAt(x, y) ?? this._lanes.taskAt(y, time, slack),
      cell: this._lanes.cellAt(y, time, slack)
    };
  }

  private _hit(x: number, y: number): ITimelineHit | null {
    const { task, cell } = this._at(x, y);
    if (task !== null || cell !== null) {
      return task !== null ? { task } : { cell: cell! };
    }
    const left = this._left();
    const time = this.scale.time(x - left, this.width - left);
    const curve = x < left ? null : this.curves.at(this.palette, y, this._floor(), time);
    const zero = this._lanes.first(this._store.clock(performance.now()));
    return curve && { ...curve, after: time - zero };
  }

  private _pointAt(x: number | null): void {
    this._pointer = x === null || x < this._left() ? null : x;
    this.request();
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
      this._pointAt(x);
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
  /** Where the pointer is, right of the names. */
  private _pointer: number | null = null;
  private _down: { x: number; moved: boolean; brush: number | null } | null = null;
}
