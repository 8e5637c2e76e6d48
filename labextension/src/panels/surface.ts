/** A canvas that is as large as its box, sharp, and drawn once a frame at most. */
import { readPalette, watchTheme, type IPalette } from './palette.js';

/** The base of what is drawn: graph and timeline. */
export abstract class Surface {
  constructor(host: HTMLElement, label: string) {
    this.host = host;
    this.canvas = document.createElement('canvas');
    this.canvas.className = 'nbray-canvas';
    this.canvas.dir = 'ltr'; // words begin where they are put, also on a page from right to left
    this.canvas.setAttribute('aria-hidden', 'true');
    this.canvas.dataset['label'] = label;
    host.prepend(this.canvas);
    this.context = this.canvas.getContext('2d')!;
    this.palette = readPalette(host);
    this._observer = new ResizeObserver(() => this._resize());
    this._observer.observe(host);
    this._unwatchTheme = watchTheme(() => this.recolour());
    // The observer's first call comes after this constructor and those of the classes below.
  }

  readonly host: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly context: CanvasRenderingContext2D;
  palette: IPalette;
  width = 1;
  height = 1;

  /** Draw at the next frame of the page. */
  request(): void {
    if (!this._frame && !this._disposed) {
      this._frame = requestAnimationFrame(() => {
        this._frame = 0;
        this.drawNow();
      });
    }
  }

  /** Draw at once. */
  drawNow(): void {
    if (this._pixelRatio !== pixelRatio()) {
      this._fill(); // the page is on another screen now, or larger, and as wide as it was
    }
    const ratio = this.canvas.width / Math.max(1, this.width);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    this.draw();
  }

  /** Take the colours anew. */
  recolour(): void {
    if (!this._disposed) {
      this.palette = readPalette(this.host);
      this.request();
    }
  }

  dispose(): void {
    this._disposed = true;
    cancelAnimationFrame(this._frame);
    this._observer.disconnect();
    this._unwatchTheme();
    this.canvas.remove();
  }

  protected abstract draw(): void;

  /** Called when the box has another size. */
  protected resized(): void {
    /* the default: nothing more than drawing */
  }

  private _resize(): void {
    const { clientWidth, clientHeight } = this.host;
    if (clientWidth === 0 || clientHeight === 0) {
      return; // hidden
    }
    this.width = clientWidth;
    this.height = clientHeight;
    this._fill();
    this.resized();
    this.request();
  }

  /** Give the canvas a pixel for each of the screen. */
  private _fill(): void {
    this._pixelRatio = pixelRatio();
    this.canvas.width = Math.round(this.width * this._pixelRatio);
    this.canvas.height = Math.round(this.height * this._pixelRatio);
  }

  private readonly _observer: ResizeObserver;
  private readonly _unwatchTheme: () => void;
  private _frame = 0;
  private _pixelRatio = 1;
  private _disposed = false;
}

/** How many pixels of the screen one of the page has, on a side; more than two are not seen. */
function pixelRatio(): number {
  return Math.min(2, window.devicePixelRatio || 1);
}
