/** Draws the graph: cards, edges, dots, lanes, objects, what is selected. */
import type { Camera } from '../../graph/camera.js';
import { laneName, type ILanes } from '../../graph/lanes.js';
import {
  HEAD_HEIGHT,
  LANE_NAMES,
  LANE_TOTALS,
  MARGIN,
  PITCH,
  edgeEnds,
  laneSpot
} from '../../graph/cardGeometry.js';
import type { ICard } from '../../graph/cards.js';
import type { IHit, ISceneObject, Scene } from '../../graph/scene.js';
import { FAILED, N_STATES, WAITS_FOR_INPUT } from '../../graph/taskStates.js';
import type { IGroup, TaskStore } from '../../graph/taskStore.js';
import { cardFacts, cardName, failureWords } from '../../graph/words.js';
import { formatCount } from '../../graph/format.js';
import type { Surface } from '../surface.js';
import { drawObject } from './drawObject.js';
import { BAR, drawMinimap } from './minimap.js';
import { FILLED, SHAPES, cross, shorten } from './stateShapes.js';

/** Below this scale dots are squares; and below this, cards have no words but their name, in larger letters. */
const FAR = 0.45;
export const FAR_WORDS = 0.7;
/** Height of the names on cards that are far away; and below how many pixels nobody could read them. */
const FAR_TEXT = 26;
const READABLE = 4;

/** Words that stand in the graph and that only the panel knows. */
export interface IGraphWords {
  /** `cell 7` of a group's origin; empty when it is not known. */
  cellWords(group: IGroup): string;
  /** The class of the first error of a group; empty when it is not known. */
  failure(group: IGroup): string;
  /** What an object is called, and what there is to say of it but its size. */
  objectWords(object: ISceneObject): { name: string; facts: string };
}

/** Draws a scene, as a camera sees it, on a surface. */
export class GraphPainter {
  constructor(
    readonly surface: Surface,
    private readonly _store: TaskStore,
    readonly scene: Scene,
    readonly camera: Camera,
    private readonly _words: IGraphWords
  ) {
    this.context = surface.context;
  }

  readonly context: CanvasRenderingContext2D;

  /** Draw everything; `selected`: what stands out, `lit`: which groups do, null: all alike. */
  draw(selected: IHit | null, lit: ((group: IGroup) => boolean) | null): void {
    this._selected = selected;
    this._lit = lit;
    const { context, camera } = this;
    context.save();
    context.translate(camera.x, camera.y);
    context.scale(camera.scale, camera.scale);
    const from = camera.toScene(0, 0);
    const to = camera.toScene(this.surface.width, this.surface.height);
    this._edges();
    for (const card of this.scene.cards) {
      const place = this.scene.places[card.head]!;
      if (
        place.x < to.x &&
        place.y < to.y + 40 &&
        place.x + place.width > from.x &&
        place.y + place.height + 40 > from.y
      ) {
        this._card(card);
      }
    }
    for (const object of this.scene.objects) {
      drawObject(this.surface, object, this._words.objectWords(object), this._farText());
    }
    this._selectedTask();
    context.restore();
    drawMinimap(this.surface, this.scene, this.camera);
  }

  /** Edges that can be seen, one path per width: drawing is a matter of how many paths there are. */
  private _edges(): void {
    const { context, scene, camera } = this;
    const { palette } = this.surface;
    const from = camera.toScene(0, 0);
    const to = camera.toScene(this.surface.width, this.surface.height);
    const far = camera.scale < FAR;
    const paths = new Map<number, Path2D>();
    context.globalAlpha = this._lit === null ? 1 : 0.3;
    for (const edge of scene.edges) {
      const starts = edge.of.count === 0;
      const { x1, y1, x2, y2, bend } = edgeEnds(edge);
      if (
        Math.max(x1, x2) + bend < from.x ||
        Math.min(x1, x2) - bend > to.x ||
        Math.max(y1, y2) < from.y ||
        Math.min(y1, y2) > to.y
      ) {
        continue;
      }
      const width = starts ? 0 : Math.min(12, Math.round(2.8 + Math.log2(edge.of.count + 1) * 1.1));
      let path = paths.get(width);
      if (path === undefined) {
        paths.set(width, (path = new Path2D()));
      }
      path.moveTo(x1, y1);
      if (far) {
        path.lineTo(x2, y2);
      } else {
        path.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2, y2);
      }
    }
    context.strokeStyle = palette.line;
    for (const [width, path] of paths) {
      context.setLineDash(width === 0 ? [4, 4] : []);
      context.lineWidth = width === 0 ? 1.2 : width / 2;
      context.stroke(path);
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  private _card(card: ICard): void {
    const { context, camera } = this;
    const { palette } = this.surface;
    const { head, groups } = card;
    const place = this.scene.places[head]!;
    const open = this.scene.isOpen(head);
    const lanes = this.scene.lanes(head);
    /** Whether tasks stand in it, so that its words are in one line. */
    const full = open || lanes !== null;
    const chosen = groups.some(({ index }) => index === this._selected?.group);
    context.globalAlpha = this._lit === null || groups.some(this._lit) ? 1 : 0.3;
    context.beginPath();
    context.roundRect(place.x, place.y, place.width, place.height, 6);
    context.fillStyle = palette.card;
    context.fill();
    context.lineWidth = chosen ? 2 : 1;
    context.strokeStyle = chosen ? palette.accent : palette.line;
    context.stroke();
    const inner = place.width - 2 * 10;
    const far = camera.scale < FAR_WORDS;
    const name = cardName(this._store, card);
    context.textBaseline = 'alphabetic';
    if (!far) {
      const facts = cardFacts(this._store, card, this._words.cellWords(groups[0]!), full);
      context.fillStyle = palette.text;
      context.font = `600 ${palette.size}px ${palette.font}`;
      const title = shorten(context, name, full ? inner * 0.5 : inner - 12);
      context.fillText(title, place.x + 10, place.y + 18);
      const width = context.measureText(title).width;
      context.fillStyle = palette.dim;
      context.font = `${palette.size - 1}px ${palette.font}`;
      if (full) {
        const room = inner - width - 26;
        context.fillText(shorten(context, facts, room), place.x + 20 + width, place.y + 18);
      } else {
        context.fillText(shorten(context, facts, inner), place.x + 10, place.y + 34);
      }
      context.fillText(open ? '−' : '+', place.x + place.width - 16, place.y + 17);
    } else if (FAR_TEXT * camera.scale >= READABLE) {
      const high = full ? Math.min(20, this._farText()) : this._farText();
      context.fillStyle = palette.text;
      context.font = `600 ${high}px ${palette.font}`;
      context.fillText(shorten(context, name, inner), place.x + 10, place.y + (full ? 20 : 30));
    }
    this._bar(card, place.x + 10, place.y + (full ? 24 : place.height - 14), inner);
    if (lanes !== null) {
      this._lanes(head, lanes, !open);
    } else if (open) {
      this._dots(groups[0]!);
    }
    if (card.counts[FAILED]! > 0 && !far) {
      this._failures(card);
    }
    context.globalAlpha = 1;
  }

  /** Height of names where the rest could not be read; 0: all can be. */
  private _farText(): number {
    const { scale } = this.camera;
    return scale < FAR_WORDS ? Math.min(FAR_TEXT, this.surface.palette.size / scale) : 0;
  }

  private _bar(card: ICard, x: number, y: number, width: number): void {
    const { context } = this;
    const { palette } = this.surface;
    const total = Math.max(1, card.total);
    context.fillStyle = palette.faint;
    context.fillRect(x, y, width, 5);
    let at = x;
    for (const state of BAR) {
      const count = card.counts[state]!;
      if (count > 0) {
        const part = Math.max(2, (width * count) / total);
        context.fillStyle = palette.states[state]!;
        context.fillRect(at, y, Math.min(part, x + width - at), 5);
        at += (width * count) / total;
      }
    }
  }

  private _failures(card: ICard): void {
    const { context } = this;
    const { palette } = this.surface;
    const place = this.scene.places[card.head]!;
    context.font = `${palette.size - 1}px ${palette.font}`;
    const words = failureWords(card, group => this._words.failure(group));
    const text = shorten(context, words, place.width - 34);
    const width = context.measureText(text).width + 26;
    const y = place.y + place.height - 6; // below the bar of a closed card, above the card that comes next
    context.beginPath();
    context.roundRect(place.x + place.width - width - 8, y, width, 18, 4);
    context.fillStyle = palette.failSoft;
    context.fill();
    context.strokeStyle = context.fillStyle = palette.states[FAILED]!;
    context.lineWidth = 1;
    context.stroke();
    const x = place.x + place.width - width - 8;
    context.beginPath();
    cross(context, x + 11, y + 9, 3.4);
    context.lineWidth = 1.8;
    context.stroke();
    context.fillStyle = palette.text;
    context.fillText(text, x + 19, y + 13);
  }

  /** The dots of an open card, one path per state. */
  private _dots(group: IGroup): void {
    const { context, camera } = this;
    const place = this.scene.places[group.index]!;
    const columns = this.scene.columns(group.index);
    const { state } = this._store;
    const from = camera.toScene(0, 0);
    const to = camera.toScene(this.surface.width, this.surface.height);
    const top = place.y + HEAD_HEIGHT;
    const firstRow = Math.max(0, Math.floor((from.y - top) / PITCH) - 1);
    const lastRow = Math.ceil((to.y - top) / PITCH) + 1;
    const left = place.x + MARGIN + PITCH / 2;
    const far = camera.scale < FAR;
    const end = Math.min(group.tasks.length, lastRow * columns);
    for (let code = 0; code < N_STATES; code++) {
      if (group.counts[code] === 0) {
        continue;
      }
      context.beginPath();
      for (let n = firstRow * columns; n < end; n++) {
        if (state[group.tasks[n]!] !== code) {
          continue;
        }
        const x = left + PITCH * (n % columns);
        const y = top + PITCH * (Math.floor(n / columns) + 0.5);
        this._dot(code, x, y, far);
      }
      this._paint(code, far);
    }
  }

  /** One task, as a part of the path. */
  private _dot(code: number, x: number, y: number, far: boolean): void {
    if (far) {
      this.context.rect(x - 4, y - 4, 8, 8);
    } else {
      SHAPES[code]!(this.context, x, y);
    }
  }

  /** The path: tasks of one state. */
  private _paint(code: number, far: boolean): void {
    const { context } = this;
    const { palette } = this.surface;
    context.fillStyle = context.strokeStyle = palette.states[code]!;
    if (far || FILLED[code]) {
      context.fill();
    } else {
      context.lineWidth = code === FAILED ? 2 : 1.4;
      context.setLineDash(code === WAITS_FOR_INPUT ? [1.8, 1.4] : []);
      context.stroke();
      context.setLineDash([]);
    }
  }

  /** The lanes of a card: the name of each actor, its calls; `newest`: and how many there are. */
  private _lanes(head: number, lanes: ILanes, newest: boolean): void {
    const { context, camera } = this;
    const { palette } = this.surface;
    const place = this.scene.places[head]!;
    const far = camera.scale < FAR;
    const [top, bottom] = [camera.toScene(0, 0).y, camera.toScene(0, this.surface.height).y];
    const seen = lanes.lanes.filter(lane => {
      const y = place.y + HEAD_HEIGHT + lane.y;
      return y < bottom && y + lane.rows * PITCH > top;
    });
    context.font = `${palette.size - 2}px ${palette.font}`;
    for (const { worker, y, rows, total } of seen) {
      context.fillStyle = palette.faint;
      const at = { x: place.x + MARGIN / 2, y: place.y + HEAD_HEIGHT + y - 1 };
      context.fillRect(at.x, at.y, place.width - MARGIN, rows * PITCH + 2);
      if (camera.scale >= FAR_WORDS) {
        context.fillStyle = palette.text;
        const name = shorten(context, laneName(this._store, worker), LANE_NAMES);
        context.fillText(name, at.x + 6, at.y + 10);
        if (newest) {
          context.fillStyle = palette.dim;
          const words = shorten(context, formatCount(total), LANE_TOTALS);
          const width = context.measureText(words).width;
          context.fillText(words, place.x + place.width - MARGIN / 2 - 5 - width, at.y + 10);
        }
      }
    }
    for (let code = 0; code < N_STATES; code++) {
      let any = false;
      context.beginPath();
      for (const lane of seen) {
        lane.tasks.forEach((task, n) => {
          if (this._store.state[task] === code) {
            const { x, y } = laneSpot(place, lanes, lane.y, n);
            this._dot(code, x, y, far);
            any = true;
          }
        });
      }
      if (any) {
        this._paint(code, far);
      }
    }
  }

  private _selectedTask(): void {
    const task = this._selected?.task;
    if (task === null || task === undefined) {
      return;
    }
    const spot = this.scene.spot(task);
    const { group } = this._selected!;
    if (spot === null || (!this.scene.isOpen(group) && this.scene.lanes(group) === null)) {
      return;
    }
    const { context } = this;
    const { palette } = this.surface;
    const { inputs, outputs } = this._store.neighbours(task);
    context.strokeStyle = palette.accent;
    context.lineWidth = 1.2;
    for (const other of [...inputs.slice(0, 200), ...outputs.slice(0, 200)]) {
      const end = this.scene.spot(other);
      if (end !== null) {
        context.beginPath();
        context.moveTo(spot.x, spot.y);
        context.lineTo(end.x, end.y);
        context.stroke();
      }
    }
    context.beginPath();
    context.arc(spot.x, spot.y, 8, 0, 2 * Math.PI);
    context.lineWidth = 2;
    context.stroke();
  }

  private _selected: IHit | null = null;
  private _lit: ((group: IGroup) => boolean) | null = null;
}
