/**
 * What the graph shows: a card per group, dots for the tasks of an open one, edges between them.
 *
 * Pure: knows the tasks and the layout, not how anything is drawn.
 */
import { Layout, type IPlace } from './layout.js';
import { NO_GROUP, type IGroup, type TaskStore } from './taskStore.js';

export const CARD_WIDTH = 152;
export const CARD_HEIGHT = 58;
/** Height of an open card above its dots. */
export const HEAD_HEIGHT = 36;
/** From dot to dot. */
export const PITCH = 12;
export const MARGIN = 14;
const MIN_COLUMNS = 12;
const MAX_COLUMNS = 80;

/** What is under a point. */
export interface IHit {
  group: number;
  /** null: the card itself. */
  task: number | null;
}

/** An edge between two cards. */
export interface ISceneEdge {
  from: number;
  to: number;
  /** Values that go along it; 0: the tasks of `from` start those of `to`. */
  count: number;
}

/** The cards of one cluster. */
export class Scene {
  constructor(store: TaskStore) {
    this._store = store;
  }

  get places(): readonly IPlace[] {
    return this._layout.places;
  }

  get edges(): readonly ISceneEdge[] {
    return this._edges;
  }

  /** Take over new groups and edges, and make room in open cards; true when something has moved. */
  sync(): boolean {
    const store = this._store;
    let moved = false;
    if (store.generation !== this._generation) {
      this._generation = store.generation;
      this._layout = new Layout();
      this._edges = [];
      this._edgeCount = 0;
      this._open = new Map();
      this._shape = -1;
      moved = true;
    }
    if (store.shapeVersion !== this._shape) {
      this._shape = store.shapeVersion;
      while (this._layout.places.length < store.groups.length) {
        this._addGroup(store.groups[this._layout.places.length]!);
        moved = true;
      }
      for (; this._edgeCount < store.groupEdges.length; this._edgeCount++) {
        const edge = store.groupEdges[this._edgeCount]!;
        this._layout.addEdge(edge.from, edge.to);
        this._edges.push(edge); // the same object: its count goes on
        moved = true;
      }
    }
    for (const [group, tasks] of this._open) {
      const now = store.groups[group]!.tasks.length;
      if (now !== tasks) {
        this._open.set(group, now);
        this._fit(group);
        moved = true;
      }
    }
    return moved;
  }

  isOpen(group: number): boolean {
    return this._open.has(group);
  }

  /** Open a card into the dots of its tasks, or close it. */
  toggle(group: number): void {
    if (!this._open.delete(group)) {
      this._open.set(group, this._store.groups[group]!.tasks.length);
    }
    this._fit(group);
  }

  /** Dots in a row of an open card. */
  columns(group: number): number {
    const tasks = this._store.groups[group]!.tasks.length;
    return Math.min(MAX_COLUMNS, Math.max(MIN_COLUMNS, Math.ceil(Math.sqrt(tasks * 1.7))));
  }

  /** The middle of a task's dot; of its card while that is closed. */
  spot(task: number): { x: number; y: number } | null {
    const group = this._store.group[task]!;
    const place = this._layout.places[group];
    if (group === NO_GROUP || place === undefined) {
      return null;
    }
    if (!this._open.has(group)) {
      return { x: place.x + place.width / 2, y: place.y + place.height / 2 };
    }
    const columns = this.columns(group);
    const n = this._store.place[task]!;
    return {
      x: place.x + MARGIN + PITCH * ((n % columns) + 0.5),
      y: place.y + HEAD_HEIGHT + PITCH * (Math.floor(n / columns) + 0.5)
    };
  }

  /** What is under a point of the scene. */
  hit(x: number, y: number): IHit | null {
    for (let group = 0; group < this._layout.places.length; group++) {
      const place = this._layout.places[group]!;
      if (x < place.x || y < place.y || x > place.x + place.width || y > place.y + place.height) {
        continue;
      }
      const column = Math.floor((x - place.x - MARGIN) / PITCH);
      const row = Math.floor((y - place.y - HEAD_HEIGHT) / PITCH);
      const columns = this.columns(group);
      const tasks = this._store.groups[group]!.tasks;
      if (this._open.has(group) && row >= 0 && column >= 0 && column < columns) {
        return { group, task: tasks[row * columns + column] ?? null };
      }
      return { group, task: null };
    }
    return null;
  }

  bounds(): { x: number; y: number; width: number; height: number } {
    return this._layout.bounds();
  }

  private _addGroup(group: IGroup): void {
    const parent = group.parent;
    const near = parent === NO_GROUP ? [] : [parent];
    const rank = parent === NO_GROUP ? 0 : this._layout.places[parent]!.rank + 1;
    this._layout.addNode(CARD_WIDTH, CARD_HEIGHT, near, rank);
    if (parent !== NO_GROUP) {
      this._layout.addEdge(parent, group.index);
      this._edges.push({ from: parent, to: group.index, count: 0 });
    }
  }

  private _fit(group: number): void {
    if (!this._open.has(group)) {
      this._layout.resize(group, CARD_WIDTH, CARD_HEIGHT);
      return;
    }
    const columns = this.columns(group);
    const rows = Math.ceil(this._store.groups[group]!.tasks.length / columns);
    const width = Math.max(CARD_WIDTH, 2 * MARGIN + columns * PITCH);
    this._layout.resize(group, width, HEAD_HEIGHT + rows * PITCH + MARGIN / 2);
  }

  private readonly _store: TaskStore;
  private _layout = new Layout();
  private _edges: ISceneEdge[] = [];
  private _edgeCount = 0;
  private _generation = Number.NaN;
  private _shape = -1;
  /** Open groups, and for how many tasks they have room. */
  private _open = new Map<number, number>();
}
