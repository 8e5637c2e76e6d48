/** The curves of the timeline, charts on its time axis: CPU, memory, store and GPUs, and under each GPU the tasks that used it. */
import type { IUsageSample } from '../../graph/frames.js';
import { gpuUses, type IGpuUse } from '../../graph/gpuUsers.js';
import { momentsOf, type IMoments } from '../../graph/samples.js';
import { RUNNING } from '../../graph/taskStates.js';
import type { TaskStore } from '../../graph/taskStore.js';
import { formatBytesOf } from '../../graph/format.js';
import { Chart, type ChartData } from '../chart.js';
import { shorten } from '../graph/stateShapes.js';
import { hueOf, type IPalette } from '../palette.js';
import { t } from '../../text.js';
import { line, type ITimelineCanvas } from './timelineLanes.js';

const CURVE = 52;
/** In it, the chart: how far from the top, and how high with the room for its line. */
const CHART_TOP = 4;
const CHART = 45;
/** From the top of a curve to its zero. */
const FLOOR = 48;
/** Of each row of the tasks that used a GPU. */
const USED_BY = 14;
/** Tasks that used a GPU and are named one by one. */
const NAMED = 6;

interface ICurve {
  name: string;
  /** `98 %`, `1.2 of 4.0 GB`. */
  words(sample: IUsageSample): string;
  color: string;
  /** 0 to 1. */
  value(sample: IUsageSample): number | null;
  /** What used it; null for all but GPUs. */
  uses: readonly IGpuUse[] | null;
  /** Height of the curve, and of what used it. */
  height: number;
}

/** What a curve said at a moment. */
export interface ICurveHit {
  curve: string;
  words: string;
}

/** The chart of a curve, and what it was made of. */
interface IChartBox {
  box: HTMLElement;
  chart: Chart;
  data: ChartData;
  moments: IMoments<IUsageSample>;
  capacity: number;
}

/** The curves of one cluster; what is here before the first sample is nothing. */
export class TimelineCurves {
  constructor(store: TaskStore) {
    this._store = store;
    this.element.className = 'nbray-curves';
    this.element.dir = 'ltr';
    this.element.setAttribute('aria-hidden', 'true');
  }

  /** The charts; they lie on the canvas. */
  readonly element = document.createElement('div');
  storeCapacity = 0;

  /** Height that all of them need. */
  height(palette: IPalette): number {
    return this._curves(palette).reduce((sum, { height }) => sum + height, 0);
  }

  /** What they say, in words, and who used each GPU. */
  words(palette: IPalette): string[] {
    const last = this._store.usage.at(-1)!; // there are no curves without
    return this._curves(palette).map(({ name, words, uses }) => {
      const used = uses === null ? '' : `, ${this._usedWords(uses)}`;
      return `${name}, ${words(last)}${used}`;
    });
  }

  /** Draw them right of `left`, from `top` on, and mark the moment at the pointer. */
  draw(on: ITimelineCanvas, left: number, top: number, pointer: number | null): void {
    const { context, scale, palette } = on;
    const width = Math.max(1, on.width - left);
    this._bars = [];
    this._look();
    const curves = this._curves(palette);
    let y = top;
    for (const curve of curves) {
      context.strokeStyle = palette.faint;
      context.lineWidth = 1;
      line(context, left, y + FLOOR + 0.5, on.width, y + FLOOR + 0.5);
      const { box, chart, data } = this._chartOf(curve);
      box.style.left = `${left}px`;
      box.style.top = `${y + CHART_TOP}px`;
      chart.show({ data, from: scale.from, to: scale.to, width, color: curve.color });
      chart.mark(pointer === null ? null : pointer - left);
      for (const use of curve.uses ?? []) {
        this._use(on, use, left, y + FLOOR + 3 + use.row * USED_BY);
      }
      y += curve.height;
    }
    for (const name of this._charts.keys()) {
      if (!curves.some(curve => curve.name === name)) {
        this._drop(name);
      }
    }
  }

  /** Draw their names, and what they say now, left of `left`. */
  drawNames(on: ITimelineCanvas, left: number, top: number): void {
    const { context, palette } = on;
    let y = top;
    const last = this._store.usage.at(-1)!;
    for (const curve of this._curves(palette)) {
      context.fillStyle = palette.text;
      context.fillText(shorten(context, curve.name, left - 12), 8, y + CURVE / 2 - 7);
      context.fillStyle = palette.dim;
      context.fillText(shorten(context, curve.words(last), left - 10), 8, y + CURVE / 2 + 8);
      if (curve.uses !== null && curve.uses.length > 0) {
        context.fillText(t('used by'), 8, y + CURVE + USED_BY / 2 - 2);
      }
      y += curve.height;
    }
  }

  /** The task whose bar under a GPU is there, as it was drawn last. */
  taskAt(x: number, y: number): number | null {
    const isThere = (bar: { x1: number; x2: number; y: number }): boolean =>
      x >= bar.x1 - 1 && x <= bar.x2 + 1 && y >= bar.y && y < bar.y + USED_BY;
    return this._bars.find(isThere)?.task ?? null;
  }

  /** The curve at a height from `top`, and what it said at a time. */
  at(palette: IPalette, y: number, top: number, time: number): ICurveHit | null {
    let floor = top;
    for (const { name, value, words, height } of this._curves(palette)) {
      if (y >= floor && y < floor + CURVE) {
        const shown = this._charts.get(name);
        const sample = shown?.moments.samples[shown.chart.indexAt(time)] ?? null;
        return sample === null || value(sample) === null
          ? null
          : { curve: name, words: words(sample) };
      }
      floor += height;
    }
    return null;
  }

  dispose(): void {
    [...this._charts.keys()].forEach(name => this._drop(name));
    this.element.remove();
  }

  /** Take the samples anew, where there are others. */
  private _look(): void {
    const { usage } = this._store;
    if (usage.at(-1) !== this._last) {
      this._last = usage.at(-1);
      this._moments = momentsOf(usage);
    }
  }

  /** The chart of a curve, with the samples of now. */
  private _chartOf({ name, value }: ICurve): IChartBox {
    const { _moments: moments, storeCapacity: capacity } = this;
    let shown = this._charts.get(name);
    if (shown?.moments !== moments || shown.capacity !== capacity) {
      const data: ChartData = [
        moments.times,
        moments.samples.map(sample => (sample === null ? null : withinBounds(value(sample))))
      ];
      shown = { ...(shown ?? this._newChart()), data, moments, capacity };
      this._charts.set(name, shown);
    }
    return shown;
  }

  private _newChart(): { box: HTMLElement; chart: Chart } {
    const box = document.createElement('div');
    box.className = 'nbray-curve';
    this.element.append(box);
    return { box, chart: new Chart(box, CHART, { steps: false }) };
  }

  private _drop(name: string): void {
    const { box, chart } = this._charts.get(name)!;
    chart.dispose();
    box.remove();
    this._charts.delete(name);
  }

  /** Under a GPU: the tasks of a process that used it, while it did; its name where none of them is known. */
  private _use(on: ITimelineCanvas, use: IGpuUse, left: number, y: number): void {
    const { scale, context, palette, selected } = on;
    const { _store: store } = this;
    const width = on.width - left;
    const [from, to] = [use.from, use.to].map(time => left + scale.x(time, width)) as [
      number,
      number
    ];
    const known = use.tasks.length > 0;
    // Faint where it held memory only, as actors do between their calls.
    context.globalAlpha = known ? 0.25 : 1;
    const color = hueOf(known ? store.function[use.tasks[0]!]! : this._functionNamed(use.name));
    this._bar(context, from, to, y, color, known ? '' : use.name);
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
      this._bar(context, x1, x2, y, hueOf(store.function[task]!), store.title(task));
      this._bars.push({ x1, x2, y, task });
      if (task === selected) {
        context.strokeStyle = palette.accent;
        context.lineWidth = 2;
        context.strokeRect(x1, y, x2 - x1, USED_BY - 2);
      }
    }
  }

  private _bar(
    context: CanvasRenderingContext2D,
    x1: number,
    x2: number,
    y: number,
    color: string,
    words: string
  ): void {
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

  private _curves(palette: IPalette): ICurve[] {
    const last = this._store.usage.at(-1);
    if (last === undefined) {
      return [];
    }
    const curves: ICurve[] = [
      {
        name: t('CPU'),
        words: sample => percent(sample.cpu),
        color: palette.states[RUNNING]!,
        value: sample => sample.cpu,
        uses: null,
        height: CURVE + 6
      },
      {
        name: t('memory'),
        words: sample => formatBytesOf(sample.memory_used, sample.memory_total),
        color: palette.memory,
        value: sample => sample.memory_used / sample.memory_total,
        uses: null,
        height: CURVE + 6
      }
    ];
    if (this.storeCapacity > 0) {
      curves.push({
        name: t('object store'),
        words: sample => formatBytesOf(sample.store_used, this.storeCapacity),
        color: palette.store,
        value: sample => sample.store_used / this.storeCapacity,
        uses: null,
        height: CURVE + 6
      });
    }
    last.gpus.forEach((gpu, n) => {
      const uses = this._usesOf(n);
      const rows = Math.max(0, ...uses.map(use => use.row)) + 1;
      curves.push({
        name: t('GPU %1', gpu.index),
        words: sample => {
          const then = sample.gpus[n] ?? gpu;
          const share = then.utilization === null ? '' : `${percent(then.utilization)} · `;
          return share + formatBytesOf(then.used, then.total);
        },
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

  private readonly _store: TaskStore;
  /** By the name of the curve. */
  private readonly _charts = new Map<string, IChartBox>();
  private _last: IUsageSample | undefined;
  private _moments: IMoments<IUsageSample> = momentsOf([]);
  /** The bars under the GPUs, as they were drawn last. */
  private _bars: { x1: number; x2: number; y: number; task: number }[] = [];
  private readonly _uses = new Map<number, readonly IGpuUse[]>();
  private _usesVersion = -1;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** A share, where it is known, as what a chart has room for. */
function withinBounds(share: number | null): number | null {
  return share === null ? null : Math.max(0, Math.min(1, share));
}
