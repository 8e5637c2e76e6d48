/** The whole graph in a corner of its canvas; a click or drag there moves what can be seen. */
import type { Camera } from '../../graph/camera.js';
import { minimapPlace, type MinimapPlace } from '../../graph/minimapPlace.js';
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

/** Where it stands now; null: it is not shown. */
export function minimapOn(
  { width, height }: Surface,
  scene: Scene,
  camera: Camera
): MinimapPlace | null {
  return scene.cards.length < 2 ? null : minimapPlace(camera, scene.bounds(), width, height);
}

/** Every card in the colour of the state that most of its tasks have, and what of it can be seen. */
export function drawMinimap(surface: Surface, scene: Scene, camera: Camera): void {
  const { context, palette, width, height } = surface;
  const place = minimapOn(surface, scene, camera);
  if (place === null) {
    return;
  }
  const { frame, scale } = place;
  context.beginPath();
  context.roundRect(frame.x, frame.y, frame.width, frame.height, 4);
  context.fillStyle = palette.background;
  context.fill();
  context.strokeStyle = palette.line;
  context.lineWidth = 1;
  context.stroke();
  context.save();
  context.clip();
  for (const { head, counts } of scene.cards) {
    const card = scene.places[head]!;
    const main = BAR.reduce((best, code) => (counts[code]! > counts[best]! ? code : best), DONE);
    context.fillStyle = palette.states[main]!;
    const [w, h] = [card.width, card.height].map(size => Math.max(2, size * scale));
    context.fillRect(...place.spot(card.x, card.y), w!, h!);
  }
  const from = camera.toScene(0, 0);
  const seen = scale / camera.scale;
  context.strokeStyle = palette.accent;
  context.strokeRect(...place.spot(from.x, from.y), width * seen, height * seen);
  context.restore();
}
