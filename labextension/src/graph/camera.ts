/** The part of a scene that a canvas shows: moved by dragging, scaled by the wheel. Pure. */

const MIN_SCALE = 0.02;
const MAX_SCALE = 4;

/** A mapping from scene to canvas: `canvas = scene * scale + offset`. */
export class Camera {
  scale = 1;
  x = 0;
  y = 0;
  /** Whether a person has moved or scaled it: from then on it stays as it is. */
  touched = false;
  /** To fit a scene it is made no smaller than that: then its beginning is shown. */
  least = 0;
  /** Whether what was to be fitted has no room at the least scale. */
  isCut = false;
  /** Of which tasks it shows the graph: as TaskStore has it. */
  clusterVersion = 0;

  /** Move by so many pixels of the canvas. */
  pan(dx: number, dy: number): void {
    this.x += dx;
    this.y += dy;
    this.touched = true;
  }

  /** Scale by a factor; what is under the point of the canvas stays there. */
  zoom(factor: number, x: number, y: number): void {
    const scale = Math.max(MIN_SCALE, Math.min(MAX_SCALE, this.scale * factor));
    const real = scale / this.scale;
    this.x = x - (x - this.x) * real;
    this.y = y - (y - this.y) * real;
    this.scale = scale;
    this.touched = true;
  }

  /** Show a whole box in a canvas of this size. */
  fit(
    box: { x: number; y: number; width: number; height: number },
    width: number,
    height: number,
    margin = 24,
    /** Of the canvas, what other things lie over. */
    top = 0
  ): void {
    const room = {
      width: Math.max(1, width - 2 * margin),
      height: Math.max(1, height - top - 2 * margin)
    };
    const scale = Math.min(1, room.width / box.width, room.height / box.height);
    this.scale = Math.max(MIN_SCALE, this.least, scale);
    this.isCut = this.scale > scale;
    // Scenes begin at the left and at the top, where growth leaves them.
    this.x = margin - box.x * this.scale;
    this.y = top + margin - box.y * this.scale;
    this.touched = false;
  }

  /** Put a point of the scene into the middle of a canvas of this size. */
  centre(x: number, y: number, width: number, height: number): void {
    this.x = width / 2 - x * this.scale;
    this.y = height / 2 - y * this.scale;
    this.touched = true;
  }

  /** The middle of what can be seen of a box, on a canvas of this size; that of the canvas where nothing can. */
  middle(
    box: { x: number; y: number; width: number; height: number },
    width: number,
    height: number
  ): { x: number; y: number } {
    const along = (from: number, size: number, room: number): number => {
      const [low, high] = [Math.max(0, from), Math.min(room, from + size)];
      return high > low ? (low + high) / 2 : room / 2;
    };
    return {
      x: along(box.x * this.scale + this.x, box.width * this.scale, width),
      y: along(box.y * this.scale + this.y, box.height * this.scale, height)
    };
  }

  /** The point of the scene under a point of the canvas. */
  toScene(x: number, y: number): { x: number; y: number } {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }
}
