/** A chart of one figure over time, by uPlot: a line over a pale area. It has no axis of its own. */
import uPlot from 'uplot';

/** Room for the width of the line: above the highest value, and below zero. */
const ABOVE = 2;
const BELOW = 1;

/** Moments, oldest first, and what the figure was then: 0 to 1; null: nobody knows. */
export type ChartData = [times: number[], values: (number | null)[]];

/** What is in the picture. */
export interface IChartPicture {
  data: ChartData;
  /** The times at its left and its right edge. */
  from: number;
  to: number;
  width: number;
  color: string;
}

/** A chart that fills a box as high as this; `steps`: a value holds until the next. */
export class Chart {
  constructor(box: HTMLElement, height: number, { steps }: { steps: boolean }) {
    const color = (): string => this._picture?.color ?? 'transparent';
    this._plot = new uPlot(
      {
        width: 1,
        height,
        padding: [ABOVE, 0, BELOW, 0],
        pxAlign: 0, // a time stands where the lanes have it, to a part of a pixel
        legend: { show: false },
        axes: [{ show: false }, { show: false }],
        cursor: { x: false, y: false },
        scales: { x: { time: false }, y: { range: [0, 1] } },
        series: [
          {},
          {
            stroke: color,
            width: 1.4,
            fill: () => `color-mix(in srgb, ${color()} 16%, transparent)`,
            points: { show: false },
            ...(steps && { paths: uPlot.paths.stepped!({ align: 1 }) })
          }
        ]
      },
      [[], []],
      box
    );
  }

  /** Show this; where all of it is shown already, nothing is drawn. */
  show(picture: IChartPicture): void {
    const { data, from, to, width, color } = picture;
    const { _plot: plot, _picture: before } = this;
    if (
      data === before?.data &&
      from === before.from &&
      to === before.to &&
      width === before.width &&
      color === before.color
    ) {
      return;
    }
    this._picture = picture;
    // At once, so that it is in one frame with what else is on the axis.
    plot.batch(() => {
      if (width !== plot.width) {
        plot.setSize({ width, height: plot.height });
      }
      if (data !== plot.data) {
        plot.setData(data, false);
      }
      plot.setScale('x', { min: from, max: to });
    });
  }

  /** Mark the moment next to a place; null: none. */
  mark(x: number | null): void {
    this._plot.setCursor({ left: x ?? -1, top: 0 });
  }

  /** The index of the moment next to a time. */
  indexAt(time: number): number {
    return this._plot.valToIdx(time);
  }

  dispose(): void {
    this._plot.destroy();
  }

  private readonly _plot: uPlot;
  private _picture: IChartPicture | null = null;
}
