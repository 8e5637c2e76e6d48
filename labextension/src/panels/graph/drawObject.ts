/** How an object is drawn in the graph. */
import type { ISceneObject } from '../../graph/scene.js';
import { formatBytes } from '../../graph/format.js';
import type { Surface } from '../surface.js';
import { shorten } from './stateShapes.js';

/** Round ends, its name, its size and what it is; `farText`: far away the name alone, so high; 0: near. */
export function drawObject(
  { context, palette }: Surface,
  object: ISceneObject,
  { name, facts }: { name: string; facts: string },
  farText: number
): void {
  const { place } = object;
  context.beginPath();
  context.roundRect(place.x, place.y, place.width, place.height, place.height / 2);
  context.fillStyle = palette.card;
  context.fill();
  context.lineWidth = 1;
  context.strokeStyle = palette.dim;
  context.stroke();
  const width = place.width - 32;
  context.textBaseline = 'alphabetic';
  context.fillStyle = palette.text;
  if (farText > 0) {
    context.font = `600 ${farText}px ${palette.font}`;
    context.fillText(shorten(context, name, width), place.x + 16, place.y + 30);
    return;
  }
  context.font = `600 ${palette.size}px ${palette.font}`;
  context.fillText(shorten(context, name, width), place.x + 16, place.y + 18);
  context.fillStyle = palette.dim;
  context.font = `${palette.size - 1}px ${palette.font}`;
  const words = [formatBytes(object.size), facts].filter(Boolean).join(' · ');
  context.fillText(shorten(context, words, width), place.x + 16, place.y + 34);
}
