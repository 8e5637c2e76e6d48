/** How states are drawn on a canvas, and texts cut to a width. */

const RADIUS = 3.7;

function circle(context: CanvasRenderingContext2D, x: number, y: number): void {
  context.moveTo(x + RADIUS, y);
  context.arc(x, y, RADIUS, 0, 2 * Math.PI);
}

function triangle(context: CanvasRenderingContext2D, x: number, y: number): void {
  context.moveTo(x - 3.4, y - 4.2);
  context.lineTo(x + 4.4, y);
  context.lineTo(x - 3.4, y + 4.2);
  context.closePath();
}

/** The cross of what failed. */
export function cross(context: CanvasRenderingContext2D, x: number, y: number, r = 3.6): void {
  context.moveTo(x - r, y - r);
  context.lineTo(x + r, y + r);
  context.moveTo(x + r, y - r);
  context.lineTo(x - r, y + r);
}

function crossedRing(context: CanvasRenderingContext2D, x: number, y: number): void {
  circle(context, x, y);
  context.moveTo(x - 2.4, y + 2.4);
  context.lineTo(x + 2.4, y - 2.4);
}

/** How a task is drawn, by state code; and whether its shape is filled. */
export const SHAPES = [circle, circle, circle, triangle, circle, cross, crossedRing];
export const FILLED = [false, false, false, true, true, false, false];

/** A text cut to a width, with an ellipsis. */
export function shorten(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) {
    return text;
  }
  let length = text.length;
  while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > width) {
    length -= 1;
  }
  return `${text.slice(0, length)}…`;
}
