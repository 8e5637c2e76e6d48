/** The whole graph in a corner of its canvas, once a person has moved in it or where it has no room. */
import type { Camera } from '../../graph/camera.js';
import type { Scene } from '../../graph/scene.js';
import {
  CANCELLED,
  DONE,
  FAILED,
  RUNNING,
  SENT,
  WAITS_FOR_INPUT,
  WAITS_FOR_PLACE
} from '../../graph/taskStates.js';
import type { Surface } from '../surface.js';

/** The order of a state bar. */
export const BAR = [DONE, FAILED, CANCELLED, RUNNING, SENT, WAITS_FOR_PLACE, WAITS_FOR_INPUT];
const MINIMAP = { width: 92, height: 70, gap: 12 };

/** Every card in the colour of the state that most of its tasks have, and what of it can be seen. */
export function drawMinimap(
  { context, palette, width, height }: Surface,
  scene: Scene,
  camera: Camera
): void {
  if (!(camera.touched || camera.isCut) || width < 360 || scene.cards.length < 2) {
    return;
  }
  const box = scene.bounds();
  const x0 = width - MINIMAP.width - MINIMAP.gap;
  const y0 = height - MINIMAP.height - MINIMAP.gap;
  const scale = Math.min((MINIMAP.width - 10) / box.width, (MINIMAP.height - 10) / box.height);
  context.beginPath();
  context.roundRect(x0, y0, MINIMAP.width, MINIMAP.height, 4);
  context.fillStyle = palette.background;
  context.fill();
  context.strokeStyle = palette.line;
  context.lineWidth = 1;
  context.stroke();
  context.save();
  context.clip();
  const spot = (x: number, y: number): [number, number] => [
    x0 + 5 + (x - box.x) * scale,
    y0 + 5 + (y - box.y) * scale
  ];
  for (const { head, counts } of scene.cards) {
    const place = scene.places[head]!;
    const main = BAR.reduce((best, code) => (counts[code]! > counts[best]! ? code : best), DONE);
    context.fillStyle = palette.states[main]!;
    const [w, h] = [place.width, place.height].map(size => Math.max(2, size * scale));
    context.fillRect(...spot(place.x, place.y), w!, h!);
  }
  const from = camera.toScene(0, 0);
  const seen = scale / camera.scale;
  context.strokeStyle = palette.accent;
  context.strokeRect(...spot(from.x, from.y), width * seen, height * seen);
  context.restore();
}
