/** Draws the graph and lets a person move in it: wheel, drag, click. */
import { Camera } from '../../graph/camera.js';
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
import { Scene, type IHit, type ISceneObject } from '../../graph/scene.js';
import { FAILED, N_STATES, WAITS_FOR_INPUT } from '../../graph/taskStates.js';
import type { IGroup, TaskStore } from '../../graph/taskStore.js';
import type { IObjectNode } from '../../graph/objectNodes.js';
import { cardFacts, cardName, failureWords } from '../../graph/words.js';
import { formatCount } from '../../model/format.js';
import { Surface } from '../surface.js';
import { drawObject } from './drawObject.js';
import { BAR, drawMinimap } from './minimap.js';
import { FILLED, SHAPES, cross, shorten } from './stateShapes.js';

/** Below this scale dots are squares; and below this, cards have no words but their name, in larger letters. */
const FAR = 0.45;
const FAR_WORDS = 0.7;
/** Below this nothing can be read: what is selected comes nearer, and a graph is not shown as a whole unasked. */
const TINY = 0.3;
/** Around everything when it is fitted; and at the top, where buttons and failures stand. */
const EDGE = 20;
const BUTTONS = 26;
/** Height of the names on cards that are far away; and below how many pixels nobody could read them. */
const FAR_TEXT = 26;
const READABLE = 4;
const CLICK_PX = 4;

/** What the graph tells the panel. */
export interface IGraphEvents {
  /** A group or one of its tasks was chosen; null: nothing. */
  onSelect(hit: IHit | null): void;
  /** The pointer is over something, at a place of the canvas. */
  onHover(hit: IHit | null, x: number, y: number): void;
  /** An object was chosen. */
  onObject(object: ISceneObject): void;
  /** Cards were opened or closed. */
  onToggle(): void;
  /** `cell 7` of a group's origin; empty when it is not known. */
  cellWords(group: IGroup): string;
  /** The class of the first error of a group; empty when it is not known. */
  failure(group: IGroup): string;
  /** What an object is called, and what there is to say of it but its size. */
  objectWords(object: ISceneObject): { name: string; facts: string };
}

/** The canvas of the graph. */
export class GraphSurface extends Surface {
  /** `before`: what another canvas showed, which goes on in this one. */
  constructor(
    host: HTMLElement,
    store: TaskStore,
    events: IGraphEvents,
    before?: { scene: Scene; camera: Camera }
  ) {
    super(host, 'graph');
    this._store = store;
    this.scene = before?.scene ?? new Scene(store);
    this.camera = before?.camera ?? new Camera();
    this.camera.least = before?.camera.least ?? TINY;
    this._events = events;
    const { canvas } = this;
    canvas.addEventListener('wheel', this._onWheel, { passive: false });
    canvas.addEventListener('pointerdown', this._onDown);
    canvas.addEventListener('pointermove', this._onMove);
    canvas.addEventListener('pointerup', this._onUp);
    canvas.addEventListener('pointerleave', () => events.onHover(null, 0, 0));
    canvas.addEventListener('dblclick', this._onDouble);
  }

  readonly scene: Scene;
  readonly camera: Camera;
  selected: IHit | null = null;
  /** Tasks that are marked: those of a cell, or what a search found; null: all alike. */
  lit: ((group: IGroup) => boolean) | null = null;

  /** The tasks have changed. */
  refresh(): void {
    const moved = this.scene.sync();
    if (moved && !this.camera.touched) {
      this._refit();
    }
    this.request();
  }

  /** Show these objects as nodes; null: none. */
  showObjects(nodes: readonly IObjectNode[] | null): void {
    this.scene.showObjects(nodes);
    if (!this.camera.touched) {
      this._refit();
    }
    this.request();
  }

  /** Scale around the middle. */
  zoom(factor: number): void {
    this.camera.zoom(factor, this.width / 2, this.height / 2);
    this.request();
  }

  /** Show everything, however small, from now on. */
  fit(): void {
    this.camera.least = 0;
    this._refit();
  }

  /** Show everything, without the gaps that the run has left. */
  arrange(): void {
    this.scene.arrange();
    this.fit();
  }

  /** How much of the canvas is under what has failed. */
  cover(height: number): void {
    if (height !== this._covered) {
      this._covered = height;
      if (!this.camera.touched) {
        this._refit();
      }
    }
  }

  toggle(group: number): void {
    this.scene.toggle(group);
    if (!this.camera.touched) {
      this._refit();
    }
    this._events.onToggle();
    this.request();
  }

  select(hit: IHit | null, bringIntoView = false): void {
    this.selected = hit;
    // Before the canvas has its size nothing is in view; the first size brings it.
    this._isWanted = bringIntoView && !this._isSized;
    if (hit !== null && bringIntoView && this._isSized) {
      const place = this.scene.places[hit.group];
      const spot = hit.task === null ? null : this.scene.spot(hit.task);
      if (place !== undefined) {
        const at = spot ?? { x: place.x + place.width / 2, y: place.y + place.height / 2 };
        const on = {
          x: at.x * this.camera.scale + this.camera.x,
          y: at.y * this.camera.scale + this.camera.y
        };
        const isTiny = this.camera.scale < TINY;
        if (isTiny) {
          this.camera.zoom(FAR_WORDS / this.camera.scale, on.x, on.y);
        }
        if (isTiny || on.x < 0 || on.y < 0 || on.x > this.width || on.y > this.height) {
          this.camera.centre(at.x, at.y, this.width, this.height);
        }
      }
    }
    this.request();
  }

  protected override resized(): void {
    if (!this.camera.touched) {
      this._fitAll();
    }
    this._isSized = true;
    if (this._isWanted) {
      this.select(this.selected, true);
    }
  }

  private _refit(): void {
    this._fitAll();
    this.request();
  }

  private _fitAll(): void {
    const top = Math.max(BUTTONS, this._covered);
    this.camera.fit(this.scene.bounds(), this.width, this.height, EDGE, top);
  }

  // ---- drawing ----

  protected override draw(): void {
    const { context, camera } = this;
    context.save();
    context.translate(camera.x, camera.y);
    context.scale(camera.scale, camera.scale);
    const from = camera.toScene(0, 0);
    const to = camera.toScene(this.width, this.height);
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
      drawObject(this, object, this._events.objectWords(object), this._farText());
    }
    this._selectedTask();
    context.restore();
    drawMinimap(this, this.scene, this.camera);
  }

  /** Edges that can be seen, one path per width: drawing is a matter of how many paths there are. */
  private _edges(): void {
    const { context, palette, scene, camera } = this;
    const from = camera.toScene(0, 0);
    const to = camera.toScene(this.width, this.height);
    const far = camera.scale < FAR;
    const paths = new Map<number, Path2D>();
    context.globalAlpha = this.lit === null ? 1 : 0.3;
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
    const { context, palette, camera } = this;
    const { head, groups } = card;
    const place = this.scene.places[head]!;
    const open = this.scene.isOpen(head);
    const lanes = this.scene.lanes(head);
    /** Whether tasks stand in it, so that its words are in one line. */
    const full = open || lanes !== null;
    const chosen = groups.some(({ index }) => index === this.selected?.group);
    context.globalAlpha = this.lit === null || groups.some(this.lit) ? 1 : 0.3;
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
      const facts = cardFacts(this._store, card, this._events.cellWords(groups[0]!), full);
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
    return scale < FAR_WORDS ? Math.min(FAR_TEXT, this.palette.size / scale) : 0;
  }

  private _bar(card: ICard, x: number, y: number, width: number): void {
    const { context, palette } = this;
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
    const { context, palette } = this;
    const place = this.scene.places[card.head]!;
    context.font = `${palette.size - 1}px ${palette.font}`;
    const words = failureWords(card, group => this._events.failure(group));
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
    const to = camera.toScene(this.width, this.height);
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
    const { context, palette } = this;
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
    const { context, palette, camera } = this;
    const place = this.scene.places[head]!;
    const far = camera.scale < FAR;
    const [top, bottom] = [camera.toScene(0, 0).y, camera.toScene(0, this.height).y];
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
    const task = this.selected?.task;
    if (task === null || task === undefined) {
      return;
    }
    const spot = this.scene.spot(task);
    const { group } = this.selected!;
    if (spot === null || (!this.scene.isOpen(group) && this.scene.lanes(group) === null)) {
      return;
    }
    const { context, palette } = this;
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

  // ---- what a person does ----

  private readonly _onWheel = (event: WheelEvent): void => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this.camera.zoom(Math.exp(-event.deltaY * lines * 0.0016), event.offsetX, event.offsetY);
    this.request();
  };

  private readonly _onDown = (event: PointerEvent): void => {
    this._down = { x: event.offsetX, y: event.offsetY, moved: false };
    this.canvas.setPointerCapture(event.pointerId);
  };

  private readonly _onMove = (event: PointerEvent): void => {
    const down = this._down;
    if (down === null) {
      const at = this.camera.toScene(event.offsetX, event.offsetY);
      const hit = this.scene.hit(at.x, at.y);
      const free = hit === null && this.scene.objectAt(at.x, at.y) === null;
      this.canvas.style.cursor = free ? 'grab' : 'pointer';
      this._events.onHover(hit, event.offsetX, event.offsetY);
      return;
    }
    const [dx, dy] = [event.offsetX - down.x, event.offsetY - down.y];
    if (down.moved || Math.hypot(dx, dy) > CLICK_PX) {
      down.moved = true;
      this.camera.pan(dx, dy);
      [down.x, down.y] = [event.offsetX, event.offsetY];
      this.canvas.style.cursor = 'grabbing';
      this.request();
    }
  };

  private readonly _onUp = (event: PointerEvent): void => {
    const down = this._down;
    this._down = null;
    if (down === null || down.moved) {
      return;
    }
    const at = this.camera.toScene(event.offsetX, event.offsetY);
    const object = this.scene.objectAt(at.x, at.y);
    if (object !== null) {
      this._events.onObject(object);
      return;
    }
    const hit = this.scene.hit(at.x, at.y);
    if (hit !== null && hit.task === null) {
      const place = this.scene.places[hit.group]!;
      if (at.x > place.x + place.width - 26 && at.y < place.y + 26) {
        this.toggle(hit.group);
      }
    }
    this.selected = hit;
    this._events.onSelect(hit);
    this.request();
  };

  private readonly _onDouble = (event: MouseEvent): void => {
    const at = this.camera.toScene(event.offsetX, event.offsetY);
    const hit = this.scene.hit(at.x, at.y);
    if (hit !== null && hit.task === null) {
      this.toggle(hit.group);
    }
  };

  private readonly _store: TaskStore;
  private readonly _events: IGraphEvents;
  /** Whether the canvas has the size of its box; and whether what is selected is to be brought into view then. */
  private _isSized = false;
  private _isWanted = false;
  private _covered = 0;
  private _down: { x: number; y: number; moved: boolean } | null = null;
}
