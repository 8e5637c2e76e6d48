/** Where the minimap of a scene stands on its canvas, and what a point of it means. Pure. */
import type { Camera } from './camera.js';

const WIDTH = 92;
const HEIGHT = 70;
const GAP = 12;
/** Around what it shows. */
const EDGE = 5;
/** On a canvas narrower than this it would lie over too much. */
const LEAST_WIDTH = 360;

/** A box of the scene, or of the canvas. */
export interface IBox {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A minimap on a canvas. */
export class MinimapPlace {
  /** `bounds`: of all that there is in the scene; the canvas is `width` x `height`. */
  constructor(bounds: IBox, width: number, height: number) {
    const [x, y] = [width - WIDTH - GAP, height - HEIGHT - GAP];
    this.frame = { x, y, width: WIDTH, height: HEIGHT };
    this._bounds = bounds;
    this.scale = Math.min((WIDTH - 2 * EDGE) / bounds.width, (HEIGHT - 2 * EDGE) / bounds.height);
  }

  /** Its box on the canvas. */
  readonly frame: IBox;
  readonly scale: number;

  /** Where a point of the scene stands in it, on the canvas. */
  spot(x: number, y: number): [x: number, y: number] {
    return [
      this.frame.x + EDGE + (x - this._bounds.x) * this.scale,
      this.frame.y + EDGE + (y - this._bounds.y) * this.scale
    ];
  }

  /** The point of the scene that a point of the canvas stands for. */
  toScene(x: number, y: number): { x: number; y: number } {
    return {
      x: this._bounds.x + (x - this.frame.x - EDGE) / this.scale,
      y: this._bounds.y + (y - this.frame.y - EDGE) / this.scale
    };
  }

  /** Whether a point of the canvas is in it. */
  has(x: number, y: number): boolean {
    const { frame } = this;
    const [dx, dy] = [x - frame.x, y - frame.y];
    return dx >= 0 && dy >= 0 && dx <= frame.width && dy <= frame.height;
  }

  private readonly _bounds: IBox;
}

/** The minimap, once a person has moved in the graph or where it has no room; null: there is none. */
export function minimapPlace(
  camera: Camera,
  bounds: IBox,
  width: number,
  height: number
): MinimapPlace | null {
  const isWanted = (camera.touched || camera.isCut) && width >= LEAST_WIDTH;
  return isWanted ? new MinimapPlace(bounds, width, height) : null;
}
