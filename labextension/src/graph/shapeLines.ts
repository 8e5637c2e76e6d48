/** The six shapes of the states as lines, 14 pixels square: for SVG and for canvases. Pure. */
import type { Shape } from './states.js';

/** Go to, draw to, draw a circle of this radius around, close. */
export type Stroke = ['M' | 'L', number, number] | ['O', number, number, number] | ['Z'];

/** How a shape is drawn. */
export interface IShapeLines {
  strokes: readonly Stroke[];
  /** The width of its line; 0: it is filled. */
  line: number;
  dash?: readonly number[];
}

const RING: Stroke = ['O', 7, 7, 4.6];

export const SHAPE_LINES: Record<Shape, IShapeLines> = {
  'dashed-ring': { strokes: [RING], line: 1.6, dash: [2.1, 1.5] },
  ring: { strokes: [RING], line: 1.8 },
  triangle: { strokes: [['M', 3.2, 2.2], ['L', 11.8, 7], ['L', 3.2, 11.8], ['Z']], line: 0 },
  disc: { strokes: [['O', 7, 7, 5.3]], line: 0 },
  cross: {
    strokes: [
      ['M', 2.8, 2.8],
      ['L', 11.2, 11.2],
      ['M', 11.2, 2.8],
      ['L', 2.8, 11.2]
    ],
    line: 2.6
  },
  'crossed-ring': { strokes: [RING, ['M', 3.8, 10.2], ['L', 10.2, 3.8]], line: 1.6 }
};

/** As the `d` of an SVG path. */
export function svgPath({ strokes }: IShapeLines): string {
  return strokes
    .map(stroke => {
      if (stroke[0] === 'O') {
        const [, x, y, r] = stroke;
        return `M${x + r} ${y}a${r} ${r} 0 1 1 ${-2 * r} 0a${r} ${r} 0 1 1 ${2 * r} 0Z`;
      }
      return stroke[0] === 'Z' ? 'Z' : `${stroke[0]}${stroke[1]} ${stroke[2]}`;
    })
    .join('');
}
