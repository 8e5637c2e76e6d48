/**
 * Where the nodes of a graph stand: columns by longest path, rows by parents. Incremental and pure.
 *
 * A node that has its place keeps it: what comes later goes into gaps or below. A node moves to
 * the right only when an edge says that it comes after another one in its own column. The ranks
 * are those of Sugiyama's method (longest path); edges that would close a cycle are left out.
 */
import { enlarge } from './columns.js';

/** A node as the layout knows it. */
export interface IPlace {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Column. */
  readonly rank: number;
}

/** Distances, in pixels at scale 1. */
export interface ISpacing {
  column: number;
  row: number;
}

/** Columns with more nodes are filled from their end, without looking for gaps. */
const SEARCHED = 64;
const FIRST_SIZE = 256;
/** No node, no edge. */
const NONE = -1;

/** A column: its nodes from top to bottom, where it begins, and how wide its widest node is. */
interface IColumn {
  nodes: number[];
  left: number;
  width: number;
}

/**
 * The places of all nodes; nodes are numbered from 0.
 *
 * What is known of a node stands in typed arrays, and its edges in lists through such arrays: ten
 * thousand nodes are then no work for the garbage collector, which was half of what a layout cost.
 */
export class Layout {
  /** A view of each node's place: it moves as the node does. */
  readonly places: IPlace[] = [];

  constructor(spacing: ISpacing = { column: 56, row: 18 }) {
    this._spacing = spacing;
  }

  /** Add the next node. It stands to the right of those in `after`, and likes to stand on their height. */
  addNode(width: number, height: number, after: readonly number[] = []): number {
    const index = this.places.length;
    const { nodes, _home } = this;
    if (index === nodes.rank.length) {
      this._growNodes();
      return this.addNode(width, height, after);
    }
    this.places.push(new Place(this, index));
    nodes.width[index] = width;
    nodes.height[index] = height;
    this._after[index] = this._before[index] = NONE;
    let sum = 0;
    let rank = 0;
    for (let n = 0; n < after.length; n++) {
      const node = after[n]!;
      sum += _home[node]!;
      if (nodes.rank[node]! >= rank) {
        rank = nodes.rank[node]! + 1;
      }
    }
    this._wish[index] = sum / after.length; // NaN: it has none
    this._insert(index, rank);
    return index;
  }

  /** Add an edge; false when it would close a cycle (it is then not part of the order). */
  addEdge(from: number, to: number): boolean {
    if (from === to || this._reaches(to, from)) {
      return false;
    }
    const edge = this._edges++;
    if (edge === this._to.length) {
      this._growEdges();
    }
    this._to[edge] = to;
    this._from[edge] = from;
    this._nextAfter[edge] = this._after[from]!;
    this._nextBefore[edge] = this._before[to]!;
    this._after[from] = this._before[to] = edge;
    this._raise(to, this.nodes.rank[from]! + 1);
    return true;
  }

  /** Change a node's size; those below it in its column make room, and come back later. */
  resize(index: number, width: number, height: number): void {
    this.nodes.width[index] = width;
    this.nodes.height[index] = height;
    const rank = this.nodes.rank[index]!;
    this._stack(rank);
    this._widen(rank, this._widest(rank));
  }

  /** The box around everything: x, y, width, height. */
  bounds(): { x: number; y: number; width: number; height: number } {
    const { y, height } = this.nodes;
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const column of this.columns) {
      const [first, last] = [column.nodes[0], column.nodes.at(-1)];
      if (first !== undefined && last !== undefined) {
        left = Math.min(left, column.left);
        right = Math.max(right, column.left + column.width);
        top = Math.min(top, y[first]!);
        bottom = Math.max(bottom, y[last]! + height[last]!); // nothing overlaps, so it is the lowest
      }
    }
    if (this.places.length === 0) {
      return { x: 0, y: 0, width: 1, height: 1 };
    }
    return { x: left, y: top, width: right - left, height: bottom - top };
  }

  /** Whether there is a way from one node to another. Only nodes of lower rank can be on it. */
  private _reaches(from: number, to: number): boolean {
    const { rank } = this.nodes;
    const limit = rank[to]!;
    if (rank[from]! > limit) {
      return false;
    }
    const seen = new Set([from]);
    const open = [from];
    while (open.length > 0) {
      const node = open.pop()!;
      if (node === to) {
        return true;
      }
      for (let edge = this._after[node]!; edge !== NONE; edge = this._nextAfter[edge]!) {
        const next = this._to[edge]!;
        if (rank[next]! <= limit && !seen.has(next)) {
          seen.add(next);
          open.push(next);
        }
      }
    }
    return false;
  }

  /** Move a node, and those after it, at least so far to the right. */
  private _raise(index: number, least: number): void {
    const { rank } = this.nodes;
    if (rank[index]! >= least) {
      return;
    }
    const open = [index, least];
    while (open.length > 0) {
      const wanted = open.pop()!;
      const node = open.pop()!;
      if (rank[node]! >= wanted) {
        continue;
      }
      this._remove(node);
      this._wish[node] = this._heightOfParents(node);
      this._insert(node, wanted);
      for (let edge = this._after[node]!; edge !== NONE; edge = this._nextAfter[edge]!) {
        open.push(this._to[edge]!, wanted + 1);
      }
    }
  }

  /** The mean height of the nodes before this one; without any, the height that it liked before. */
  private _heightOfParents(node: number): number {
    let [sum, count] = [0, 0];
    for (let edge = this._before[node]!; edge !== NONE; edge = this._nextBefore[edge]!) {
      sum += this._home[this._from[edge]!]!;
      count += 1;
    }
    return count === 0 ? this._wish[node]! : sum / count;
  }

  /** Put a node into a column: at the height it likes if that is free, else into the nearest gap. */
  private _insert(index: number, rank: number): void {
    while (this.columns.length <= rank) {
      const last = this.columns.at(-1);
      const left = last === undefined ? 0 : last.left + last.width + this._spacing.column;
      this.columns.push({ nodes: [], left, width: 0 });
    }
    const column = this.columns[rank]!;
    const { y, height } = this.nodes;
    this.nodes.rank[index] = rank;
    const position = this._choose(column.nodes, index);
    if (position === column.nodes.length) {
      const above = column.nodes.at(-1);
      const floor =
        above === undefined ? -Infinity : y[above]! + height[above]! + this._spacing.row;
      y[index] = Math.max(this._home[index]!, floor);
      column.nodes.push(index);
    } else {
      column.nodes.splice(position, 0, index);
      this._stack(rank);
    }
    this._widen(rank, Math.max(column.width, this.nodes.width[index]!));
  }

  /** Find room in a column for a node, nearest to where it likes to be: sets its home, returns its position. */
  private _choose(column: readonly number[], index: number): number {
    const { height } = this.nodes;
    // One by one: an array that is taken apart is slow until the function is compiled.
    const home = this._home;
    const row = this._spacing.row;
    const wish = this._wish[index]!;
    const high = height[index]!;
    const none = Number.isNaN(wish);
    const last = column.at(-1);
    if (last === undefined) {
      home[index] = none ? 0 : wish;
      return 0;
    }
    const end = home[last]! + height[last]! + row;
    let best = none ? end : Math.max(end, wish);
    let position = column.length;
    if (none && column.length <= SEARCHED) {
      // Where a node has moved on, and nobody else has taken the room.
      for (let place = 1; place < column.length; place++) {
        const [above, below] = [column[place - 1]!, column[place]!];
        const y = home[above]! + height[above]! + row;
        const taken = this.nodes.y[above]! + height[above]!;
        if (y + high + row <= home[below]! && taken + high + 2 * row <= this.nodes.y[below]!) {
          home[index] = y;
          return place;
        }
      }
    } else if (column.length <= SEARCHED) {
      let top = -Infinity;
      for (let place = 0; place < column.length; place++) {
        const other = column[place]!;
        const below = home[other]! - row - high;
        const y = Math.max(top, Math.min(wish, below));
        if (y <= below && Math.abs(y - wish) < Math.abs(best - wish)) {
          best = y;
          position = place;
        }
        top = home[other]! + height[other]! + row;
      }
    }
    home[index] = best;
    return position;
  }

  /** Let nobody in a column overlap; each as near to its home as those above it allow. */
  private _stack(rank: number): void {
    const { y, height } = this.nodes;
    let floor = -Infinity;
    for (const index of this.columns[rank]!.nodes) {
      y[index] = Math.max(this._home[index]!, floor);
      floor = y[index] + height[index]! + this._spacing.row;
    }
  }

  private _remove(index: number): void {
    const rank = this.nodes.rank[index]!;
    const { nodes, width } = this.columns[rank]!;
    nodes.splice(nodes.at(-1) === index ? nodes.length - 1 : nodes.indexOf(index), 1);
    if (this.nodes.width[index] === width) {
      this._widen(rank, this._widest(rank));
    }
  }

  /** The width of the widest node of a column. */
  private _widest(rank: number): number {
    const column = this.columns[rank]!;
    let width = 0;
    for (const index of column.nodes) {
      width = Math.max(width, this.nodes.width[index]!);
    }
    return width;
  }

  /** Give a column its width; the columns after it move along. */
  private _widen(rank: number, width: number): void {
    let before: IColumn = this.columns[rank]!;
    if (before.width === width) {
      return;
    }
    before.width = width;
    for (let next = rank + 1; next < this.columns.length; next++) {
      const column = this.columns[next]!;
      column.left = before.left + before.width + this._spacing.column;
      before = column;
    }
  }

  private _growNodes(): void {
    const size = 4 * this.nodes.rank.length;
    const { y, width, height, rank } = this.nodes;
    this.nodes = {
      y: enlarge(y, new Float64Array(size)),
      width: enlarge(width, new Float64Array(size)),
      height: enlarge(height, new Float64Array(size)),
      rank: enlarge(rank, new Int32Array(size))
    };
    this._home = enlarge(this._home, new Float64Array(size));
    this._wish = enlarge(this._wish, new Float64Array(size));
    this._after = enlarge(this._after, new Int32Array(size));
    this._before = enlarge(this._before, new Int32Array(size));
  }

  private _growEdges(): void {
    const size = 4 * this._to.length;
    this._to = enlarge(this._to, new Int32Array(size));
    this._from = enlarge(this._from, new Int32Array(size));
    this._nextAfter = enlarge(this._nextAfter, new Int32Array(size));
    this._nextBefore = enlarge(this._nextBefore, new Int32Array(size));
  }

  /** Of this module: what `Place` looks into. */
  readonly columns: IColumn[] = [];
  nodes = {
    y: new Float64Array(FIRST_SIZE),
    width: new Float64Array(FIRST_SIZE),
    height: new Float64Array(FIRST_SIZE),
    rank: new Int32Array(FIRST_SIZE)
  };

  private readonly _spacing: ISpacing;
  /** The height on which a node would like to stand; NaN: on any. */
  private _wish = new Float64Array(FIRST_SIZE);
  /** The height on which it stands while nothing above it needs more room. */
  private _home = new Float64Array(FIRST_SIZE);
  /** The edges, and by node the latest that leaves it and that reaches it; each names the one before. */
  private _edges = 0;
  private _from = new Int32Array(FIRST_SIZE);
  private _to = new Int32Array(FIRST_SIZE);
  private _after = new Int32Array(FIRST_SIZE);
  private _before = new Int32Array(FIRST_SIZE);
  private _nextAfter = new Int32Array(FIRST_SIZE);
  private _nextBefore = new Int32Array(FIRST_SIZE);
}

/** Where one node stands now. */
class Place implements IPlace {
  constructor(
    private readonly _layout: Layout,
    private readonly _index: number
  ) {}

  get x(): number {
    return this._layout.columns[this.rank]!.left;
  }

  get y(): number {
    return this._layout.nodes.y[this._index]!;
  }

  get width(): number {
    return this._layout.nodes.width[this._index]!;
  }

  get height(): number {
    return this._layout.nodes.height[this._index]!;
  }

  get rank(): number {
    return this._layout.nodes.rank[this._index]!;
  }
}
