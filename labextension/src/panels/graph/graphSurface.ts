/** The canvas of the graph, and how a person moves in it: wheel, drag, click, minimap. */
import { Camera } from '../../graph/camera.js';
import { Scene, type IHit, type ISceneObject } from '../../graph/scene.js';
import type { IGroup, TaskStore } from '../../graph/taskStore.js';
import type { IObjectNode } from '../../graph/objectNodes.js';
import { Surface } from '../surface.js';
import { FAR_WORDS, GraphPainter, type IGraphWords } from './graphPainter.js';
import { minimapOn } from './minimap.js';

/** Below this nothing can be read: what is selected comes nearer, and a graph is not shown as a whole unasked. */
const TINY = 0.3;
/** Around everything when it is fitted; and at the top, where buttons and failures stand. */
const EDGE = 20;
const BUTTONS = 26;
const CLICK_PX = 4;

/** What the graph tells the panel. */
export interface IGraphEvents extends IGraphWords {
  /** A group or one of its tasks was chosen; null: nothing. */
  onSelect(hit: IHit | null): void;
  /** The pointer is over something, at a place of the canvas. */
  onHover(hit: IHit | null, x: number, y: number): void;
  /** An object was chosen. */
  onObject(object: ISceneObject): void;
  /** Cards were opened or closed. */
  onToggle(): void;
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
    this._painter = new GraphPainter(this, store, this.scene, this.camera, events);
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
    if (this.camera.clusterVersion !== this._store.clusterVersion) {
      this.camera.clusterVersion = this._store.clusterVersion;
      this.camera.touched = false; // where a person has looked was in another graph
      this.camera.least = TINY;
    }
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

  /** Scale around the middle of what there is to see. */
  zoom(factor: number): void {
    this._isWanted = false;
    const { x, y } = this.camera.middle(this.scene.bounds(), this.width, this.height);
    this.camera.zoom(factor, x, y);
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
    // Before the canvas has its size nothing is in view; the first size brings it. A later one may take it away: the
    // details of what is selected open below the graph.
    this._isWanted = bringIntoView;
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

  protected override draw(): void {
    this._painter.draw(this.selected, this.lit);
  }

  private readonly _onWheel = (event: WheelEvent): void => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this._isWanted = false;
    this.camera.zoom(Math.exp(-event.deltaY * lines * 0.0016), event.offsetX, event.offsetY);
    this.request();
  };

  private readonly _onDown = (event: PointerEvent): void => {
    const { offsetX: x, offsetY: y } = event;
    this.canvas.setPointerCapture(event.pointerId);
    if (minimapOn(this, this.scene, this.camera)?.has(x, y)) {
      this._isInMinimap = true;
      this._showSpot(x, y);
    } else {
      this._down = { x, y, moved: false };
    }
  };

  /** Bring what a point of the minimap stands for into the middle. */
  private _showSpot(x: number, y: number): void {
    const at = minimapOn(this, this.scene, this.camera)?.toScene(x, y);
    if (at !== undefined) {
      this._isWanted = false;
      this.camera.centre(at.x, at.y, this.width, this.height);
      this.request();
    }
  }

  private readonly _onMove = (event: PointerEvent): void => {
    const down = this._down;
    if (this._isInMinimap) {
      this._showSpot(event.offsetX, event.offsetY);
      return;
    }
    if (down === null) {
      if (minimapOn(this, this.scene, this.camera)?.has(event.offsetX, event.offsetY)) {
        this.canvas.style.cursor = 'move';
        this._events.onHover(null, 0, 0); // what lies below it is not what is meant
        return;
      }
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
      this._isWanted = false;
      this.camera.pan(dx, dy);
      [down.x, down.y] = [event.offsetX, event.offsetY];
      this.canvas.style.cursor = 'grabbing';
      this.request();
    }
  };

  private readonly _onUp = (event: PointerEvent): void => {
    const down = this._down;
    this._down = null;
    this._isInMinimap = false;
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
    if (minimapOn(this, this.scene, this.camera)?.has(event.offsetX, event.offsetY)) {
      return;
    }
    const at = this.camera.toScene(event.offsetX, event.offsetY);
    const hit = this.scene.hit(at.x, at.y);
    if (hit !== null && hit.task === null) {
      this.toggle(hit.group);
    }
  };

  private readonly _store: TaskStore;
  private readonly _events: IGraphEvents;
  private readonly _painter: GraphPainter;
  /** Whether the canvas has the size of its box; and whether what is selected is to be in view at any size. */
  private _isSized = false;
  private _isWanted = false;
  private _covered = 0;
  private _down: { x: number; y: number; moved: boolean } | null = null;
  /** The pointer went down in the minimap. */
  private _isInMinimap = false;
}
