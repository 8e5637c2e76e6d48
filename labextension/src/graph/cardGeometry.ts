/** The measures of cards, and what stands where in them. Pure. */
import type { ILanes } from './lanes.js';
import type { IPlace } from './layout.js';

export const CARD_WIDTH = 152;
export const CARD_HEIGHT = 58;
/** Height of an open card above its dots. */
export const HEAD_HEIGHT = 36;
/** From dot to dot. */
export const PITCH = 12;
export const MARGIN = 14;
/** Left of the lanes of actors, for their names; and right of them in a closed card, for how many calls there are. */
export const LANE_NAMES = 76;
export const LANE_TOTALS = 34;

/** An edge between two cards, or a card and an object. */
export interface ISceneEdge {
  from: IPlace;
  to: IPlace;
  /** Values that go along it; 0: the tasks of `from` start those of `to`. */
  of: { readonly count: number };
}

/** Where an edge begins and ends: at the height of a card's head; who starts a little below the values. */
export function edgeEnds({ from, to, of }: ISceneEdge): {
  x1: number;
  y1: number;
  x2: number;
  y2: number;
  bend: number;
} {
  const [y1, y2] = [from, to].map(
    place => place.y + Math.min(place.height, CARD_HEIGHT) / 2 + (of.count === 0 ? 10 : 0)
  ) as [number, number];
  const [x1, x2] = [from.x + from.width, to.x];
  return { x1, y1, x2, y2, bend: Math.max(24, Math.abs(x2 - x1) / 2) };
}

/** The middle of a card. */
export function middle(place: IPlace): { x: number; y: number } {
  return { x: place.x + place.width / 2, y: place.y + place.height / 2 };
}

/** Whether a point is in a card. */
export function inside(place: IPlace, x: number, y: number): boolean {
  return x >= place.x && y >= place.y && x <= place.x + place.width && y <= place.y + place.height;
}

/** The middle of the n-th dot of an open card. */
export function dotSpot(place: IPlace, columns: number, n: number): { x: number; y: number } {
  return {
    x: place.x + MARGIN + PITCH * ((n % columns) + 0.5),
    y: place.y + HEAD_HEIGHT + PITCH * (Math.floor(n / columns) + 0.5)
  };
}

/** Which dot of an open card is at a point of the card: its number; null: none. */
export function dotAt(columns: number, x: number, y: number): number | null {
  const column = Math.floor((x - MARGIN) / PITCH);
  const row = Math.floor((y - HEAD_HEIGHT) / PITCH);
  return row >= 0 && column >= 0 && column < columns ? row * columns + column : null;
}

/** The middle of the n-th call of a lane that begins at `y`. */
export function laneSpot(
  place: IPlace,
  { columns }: ILanes,
  y: number,
  n: number
): { x: number; y: number } {
  return {
    x: place.x + MARGIN + LANE_NAMES + PITCH * ((n % columns) + 0.5),
    y: place.y + HEAD_HEIGHT + y + PITCH * (Math.floor(n / columns) + 0.5)
  };
}

/** The call at a point of a card. */
export function laneHit({ lanes, columns }: ILanes, x: number, y: number): number | null {
  const column = Math.floor((x - MARGIN - LANE_NAMES) / PITCH);
  const lane = lanes.filter(one => y - HEAD_HEIGHT >= one.y).at(-1);
  if (lane === undefined || column < 0 || column >= columns) {
    return null;
  }
  const row = Math.floor((y - HEAD_HEIGHT - lane.y) / PITCH);
  return row < lane.rows ? (lane.tasks[row * columns + column] ?? null) : null;
}
