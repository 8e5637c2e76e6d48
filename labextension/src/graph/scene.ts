/**
 * What the graph shows: a card per group, dots for the tasks of an open one; a card per class of actors with a
 * lane for each of them and its calls; a node per object where they are wanted; edges between all of them.
 *
 * Pure: knows the tasks and the layout, not how anything is drawn.
 */
import { Cards, type ICard } from './cards.js';
import {
  CARD_HEIGHT,
  CARD_WIDTH,
  HEAD_HEIGHT,
  LANE_NAMES,
  LANE_TOTALS,
  MARGIN,
  PITCH,
  dotAt,
  dotSpot,
  inside,
  laneHit,
  laneSpot,
  middle,
  type ISceneEdge
} from './cardGeometry.js';
import { isActorGroup, lanesOf, type ILanes } from './lanes.js';
import { Layout, type IPlace } from './layout.js';
import type { IObjectNode } from './objectNodes.js';
import { Before, parentsFirst } from './parentsFirst.js';
import { NO_GROUP, type TaskStore } from './taskStore.js';

const OBJECT_WIDTH = 132;
const OBJECT_HEIGHT = 44;
const MIN_COLUMNS = 12;
const MAX_COLUMNS = 80;

/** What is under a point. */
export interface IHit {
  group: number;
  /** null: the card itself. */
  task: number | null;
}

/** An object, and where it stands. */
export interface ISceneObject extends IObjectNode {
  place: IPlace;
}

/** The cards of one cluster. */
export class Scene {
  constructor(store: TaskStore) {
    this._store = store;
    this._cards = new Cards(store);
  }

  /** The cards, in the order in which they came. */
  get cards(): ICard[] {
    return this._cards.all;
  }

  /** The same, each before those whose tasks its own have started: as a tree is read. */
  get cardsInTree(): ICard[] {
    return this._cards.inTree;
  }

  /** Of the cards, by group. */
  get places(): readonly IPlace[] {
    return this._places;
  }

  /** The objects that stand in the graph. */
  get objects(): readonly ISceneObject[] {
    return this._objects;
  }

  get edges(): readonly ISceneEdge[] {
    return this._gone.size === 0
      ? this._edges
      : this._edges.filter(edge => !this._gone.has(edge.from) && !this._gone.has(edge.to));
  }

  /** Take over new groups and edges, and make room in open cards; true when something has moved. */
  sync(): boolean {
    const store = this._store;
    let moved = false;
    if (store.epoch !== this._epoch) {
      this._epoch = store.epoch;
      this._open = new Map();
      this._begin([]);
      moved = true;
    }
    if (store.shapeVersion !== this._shape) {
      this._shape = store.shapeVersion;
      moved = this._grow() || moved;
    }
    for (const [head, tasks] of this._open) {
      const now = store.groups[head]!.tasks.length;
      if (now !== tasks) {
        this._open.set(head, now);
        moved = this._fit(head) || moved;
      }
    }
    // A call moves to the lane of the actor that takes it.
    for (const head of this._cards.heads) {
      if (isActorGroup(store, store.groups[head]!)) {
        moved = this._fit(head) || moved;
      }
    }
    return moved;
  }

  /** Show these objects; null: none. The first make everything find its place anew; then each keeps it. */
  showObjects(nodes: readonly IObjectNode[] | null): void {
    const any = this._objectNodes.size > 0;
    if (nodes === null) {
      if (any) {
        this._again([]);
      }
      return;
    }
    this.sync(); // groups that take them may be new
    if (!any && nodes.length > 0) {
      this._again(nodes);
    }
    this._objects = nodes.map(node => ({ ...node, place: this._placeObject(node) }));
    const shown = new Set(this._objects.map(object => object.place));
    const gone = [...this._objectNodes.values()].filter(
      node => !shown.has(this._layout.places[node]!)
    );
    this._gone = new Set(gone.map(node => this._layout.places[node]!));
  }

  /** Let everything find its place anew, knowing all edges: no gaps are left of what moved on. */
  arrange(): void {
    const objects = this._objects;
    this._again(objects);
    if (objects.length > 0) {
      this.showObjects(objects);
    }
  }

  /** The object under a point of the scene. */
  objectAt(x: number, y: number): ISceneObject | null {
    return this._objects.find(({ place }) => inside(place, x, y)) ?? null;
  }

  /** The lanes of a card of actors; null: it has none. In a closed one each lane is a row of the newest calls. */
  lanes(group: number): ILanes | null {
    const head = this._cards.head[group]!;
    const groups = this._cards.groupsOf(head);
    if (!isActorGroup(this._store, groups[0]!)) {
      return null;
    }
    const known = this._lanes.get(head);
    if (known?.version === this._store.version) {
      return known.lanes;
    }
    const closed = !this._open.has(head);
    const lanes = lanesOf(this._store, groups, PITCH, [MIN_COLUMNS, MAX_COLUMNS], closed);
    this._lanes.set(head, { version: this._store.version, lanes });
    return lanes;
  }

  isOpen(group: number): boolean {
    return this._open.has(this._cards.head[group]!);
  }

  /** Open a card into the dots of its tasks, or into all calls of its lanes; or close it. */
  toggle(group: number): void {
    const head = this._cards.head[group]!;
    if (!this._open.delete(head)) {
      this._open.set(head, this._store.groups[head]!.tasks.length);
    }
    this._lanes.delete(head);
    this._fit(head);
  }

  /** Dots in a row of an open card. */
  columns(group: number): number {
    const tasks = this._store.groups[group]!.tasks.length;
    return Math.min(MAX_COLUMNS, Math.max(MIN_COLUMNS, Math.ceil(Math.sqrt(tasks * 1.7))));
  }

  /** The middle of a task's dot; of its card while that is closed. */
  spot(task: number): { x: number; y: number } | null {
    const group = this._store.group[task]!;
    const place = this._places[group];
    if (group === NO_GROUP || place === undefined) {
      return null;
    }
    const lanes = this.lanes(group);
    if (lanes === null && !this._open.has(group)) {
      return middle(place);
    }
    if (lanes !== null) {
      for (const lane of lanes.lanes) {
        const n = lane.tasks.indexOf(task);
        if (n >= 0) {
          return laneSpot(place, lanes, lane.y, n);
        }
      }
      return middle(place);
    }
    return dotSpot(place, this.columns(group), this._store.place[task]!);
  }

  /** What is under a point of the scene. */
  hit(x: number, y: number): IHit | null {
    for (const group of this._cards.heads) {
      const place = this._places[group]!;
      if (!inside(place, x, y)) {
        continue;
      }
      const lanes = this.lanes(group);
      if (lanes !== null) {
        const task = laneHit(lanes, x - place.x, y - place.y);
        return { group: task === null ? group : this._store.group[task]!, task };
      }
      if (this._open.has(group)) {
        const n = dotAt(this.columns(group), x - place.x, y - place.y);
        return { group, task: n === null ? null : (this._store.groups[group]!.tasks[n] ?? null) };
      }
      return { group, task: null };
    }
    return null;
  }

  bounds(): { x: number; y: number; width: number; height: number } {
    return this._layout.bounds();
  }

  /** Take over new groups and edges; true when there are any. What a card comes after has its place before it. */
  private _grow(): boolean {
    const store = this._store;
    const edges = store.groupEdges.slice(this._edgeCount);
    const first = this._cards.head.length;
    const fresh = this._cards.grow();
    const objects = this._coming;
    this._coming = [];
    const before = this._before(fresh, edges, objects);
    for (const one of parentsFirst([...objects.map((_, n) => -1 - n), ...fresh], before)) {
      this._add(one, objects, before.get(one) ?? []);
    }
    this._cards.heads.push(...fresh);
    for (let index = first; index < store.groups.length; index++) {
      const head = this._cards.head[index]!;
      if (head !== index) {
        this._nodes[index] = this._nodes[head]!;
        this._places[index] = this._places[head]!;
        this._lanes.delete(head);
      }
    }
    for (const head of fresh) {
      const { parent } = store.groups[head]!;
      if (parent !== NO_GROUP) {
        this._connect(this._nodes[parent]!, this._nodes[head]!, STARTS);
      }
    }
    this._edgeCount += edges.length;
    for (const edge of edges) {
      const [from, to] = [this._nodes[edge.from]!, this._nodes[edge.to]!];
      if (from !== to) {
        this._connect(from, to, edge); // whose count goes on
      }
    }
    return edges.length > 0 || first < store.groups.length;
  }

  /** What each of these comes after: cards by their first group, the n-th object as -1 - n. */
  private _before(
    fresh: readonly number[],
    edges: readonly { from: number; to: number }[],
    objects: readonly IObjectNode[]
  ): Before {
    const before = new Before();
    for (const head of fresh) {
      const { parent } = this._store.groups[head]!;
      if (parent !== NO_GROUP) {
        before.add(this._cards.head[parent]!, head);
      }
    }
    for (const { from, to } of edges) {
      if (this._cards.head[from] !== this._cards.head[to]) {
        before.add(this._cards.head[from]!, this._cards.head[to]!);
      }
    }
    objects.forEach(({ maker, takers }, n) => {
      if (maker !== NO_GROUP) {
        before.add(this._cards.head[maker]!, -1 - n);
      }
      takers.forEach(taker => before.add(-1 - n, this._cards.head[taker]!));
    });
    return before;
  }

  /** Give a card or an object its place, after those of them that have theirs. */
  private _add(one: number, objects: readonly IObjectNode[], before: readonly number[]): void {
    const after = before
      .map(other =>
        other < 0 ? this._objectNodes.get(objects[-1 - other]!.key) : this._nodes[other]
      )
      .filter(node => node !== undefined);
    if (one < 0) {
      const node = this._layout.addNode(OBJECT_WIDTH, OBJECT_HEIGHT, after);
      this._objectNodes.set(objects[-1 - one]!.key, node);
      return;
    }
    const node = this._layout.addNode(...this._size(one), after);
    this._nodes[one] = node;
    this._places[one] = this._layout.places[node]!;
  }

  private _connect(from: number, to: number, of: ISceneEdge['of']): void {
    this._layout.addEdge(from, to);
    const { places } = this._layout;
    this._edges.push({ from: places[from]!, to: places[to]!, of });
  }

  private _placeObject(object: IObjectNode): IPlace {
    const maker = object.maker === NO_GROUP ? [] : [this._nodes[object.maker]!];
    let node = this._objectNodes.get(object.key);
    if (node === undefined) {
      node = this._layout.addNode(OBJECT_WIDTH, OBJECT_HEIGHT, maker);
      this._objectNodes.set(object.key, node);
    }
    maker.forEach(from => this._connectObject(`${object.key} <`, from, node));
    for (const taker of object.takers) {
      this._connectObject(`${object.key} > ${taker}`, node, this._nodes[taker]!);
    }
    return this._layout.places[node]!;
  }

  private _connectObject(key: string, from: number, to: number): void {
    if (!this._objectEdges.has(key)) {
      this._objectEdges.add(key);
      this._connect(from, to, VALUE);
    }
  }

  /** Give a card its size; true when it is another one. */
  private _fit(group: number): boolean {
    const [width, height] = this._size(group);
    const place = this._places[group]!;
    if (width === place.width && height === place.height) {
      return false;
    }
    this._layout.resize(this._nodes[group]!, width, height);
    return true;
  }

  private _size(group: number): [number, number] {
    const lanes = this.lanes(group);
    const open = this._open.has(group);
    if (lanes !== null) {
      const totals = open ? 0 : LANE_TOTALS;
      const width = 2 * MARGIN + LANE_NAMES + lanes.columns * PITCH + totals;
      return [width, HEAD_HEIGHT + lanes.height + MARGIN / 2];
    }
    if (!open) {
      return [CARD_WIDTH, CARD_HEIGHT];
    }
    const columns = this.columns(group);
    const rows = Math.ceil(this._store.groups[group]!.tasks.length / columns);
    const width = Math.max(CARD_WIDTH, 2 * MARGIN + columns * PITCH);
    return [width, HEAD_HEIGHT + rows * PITCH + MARGIN / 2];
  }

  /** Lay out everything anew, with these objects in it. */
  private _again(objects: readonly IObjectNode[]): void {
    this._begin(objects);
    this.sync();
    this._open.forEach((_, group) => this._fit(group));
  }

  /** Nothing has its place any more; these objects will have one. */
  private _begin(objects: readonly IObjectNode[]): void {
    this._coming = objects;
    this._layout = new Layout();
    this._nodes = [];
    this._places = [];
    this._cards.clear();
    this._edges = [];
    this._edgeCount = 0;
    this._shape = -1;
    this._lanes.clear();
    this._objects = [];
    this._objectNodes.clear();
    this._objectEdges.clear();
    this._gone.clear();
  }

  private readonly _store: TaskStore;
  private readonly _cards: Cards;
  private _layout = new Layout();
  /** The nodes of the groups, and their places. */
  private _nodes: number[] = [];
  private _places: IPlace[] = [];
  private _edges: ISceneEdge[] = [];
  private _edgeCount = 0;
  private _epoch = Number.NaN;
  private _shape = -1;
  /** Open groups, and for how many tasks they have room. */
  private _open = new Map<number, number>();
  private readonly _lanes = new Map<number, { version: number; lanes: ILanes }>();
  private _objects: ISceneObject[] = [];
  /** Those that come into the next layout. */
  private _coming: readonly IObjectNode[] = [];
  /** Every object that has had a node, and the edges that leave them. */
  private readonly _objectNodes = new Map<string, number>();
  private readonly _objectEdges = new Set<string>();
  /** Places of objects that are not there any more. */
  private _gone = new Set<IPlace>();
}

/** An edge from who starts to who is started; and one from or to an object. */
const STARTS = { count: 0 };
const VALUE = { count: 1 };
