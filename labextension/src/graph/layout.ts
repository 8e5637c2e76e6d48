/**
 * Where the nodes of a graph stand: columns by longest path, rows by parents. Incremental and pure.
 *
 * A node that has its place keeps it: what comes later goes into gaps or below. A node moves to
 * the right only when an edge says that it comes after another one in its own column. The ranks
 * are those of Sugiyama's method (longest path); edges that would close a cycle are left out.
 */

/** A node as the layout knows it. */
export interface IPlace {
  x: number;
  y: number;
  width: number;
  height: number;
  /** Column. */
  rank: number;
}

/** Distances, in pixels at scale 1. */
export interface ISpacing {
  column: number;
  row: number;
}

/** Columns with more nodes are filled from their end, without looking for gaps. */
const SEARCHED = 64;

/** The places of all nodes; nodes are numbered from 0. */
export class Layout {
  readonly places: IPlace[] = [];

  constructor(spacing: ISpacing = { column: 56, row: 18 }) {
    this._spacing = spacing;
  }

  /** Add the next node; `near`: nodes that it belongs to, on whose height it likes to stand. */
  addNode(width: number, height: number, near: readonly number[] = [], rank = 0): number {
    const index = this.places.length;
    this.places.push({ x: 0, y: 0, width, height, rank });
    this._after.push([]);
    this._before.push([]);
    this._wish.push(this._meanHeight(near));
    this._insert(index, rank);
    return index;
  }

  /** Add an edge; false when it would close a cycle (it is then not part of the order). */
  addEdge(from: number, to: number): boolean {
    if (from === to || this._reaches(to, from)) {
      return false;
    }
    this._after[from]!.push(to);
    this._before[to]!.push(from);
    this._raise(to, this.places[from]!.rank + 1);
    return true;
  }

  /** Change a node's size; those below it in its column make room, and come back later. */
  resize(index: number, width: number, height: number): void {
    const place = this.places[index]!;
    place.width = width;
    place.height = height;
    this._stack(place.rank);
    this._widen(place.rank);
  }

  /** The box around everything: x, y, width, height. */
  bounds(): { x: number; y: number; width: number; height: number } {
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const place of this.places) {
      left = Math.min(left, place.x);
      top = Math.min(top, place.y);
      right = Math.max(right, place.x + place.width);
      bottom = Math.max(bottom, place.y + place.height);
    }
    if (this.places.length === 0) {
      return { x: 0, y: 0, width: 1, height: 1 };
    }
    return { x: left, y: top, width: right - left, height: bottom - top };
  }

  /** Whether there is a way from one node to another. Only nodes of lower rank can be on it. */
  private _reaches(from: number, to: number): boolean {
    const limit = this.places[to]!.rank;
    if (this.places[from]!.rank > limit) {
      return false;
    }
    const seen = new Set([from]);
    const open = [from];
    while (open.length > 0) {
      const node = open.pop()!;
      if (node === to) {
        return true;
      }
      for (const next of this._after[node]!) {
        if (!seen.has(next) && this.places[next]!.rank <= limit) {
          seen.add(next);
          open.push(next);
        }
      }
    }
    return false;
  }

  /** Move a node, and those after it, at least so far to the right. */
  private _raise(index: number, rank: number): void {
    const open: [number, number][] = [[index, rank]];
    while (open.length > 0) {
      const [node, least] = open.pop()!;
      if (this.places[node]!.rank >= least) {
        continue;
      }
      this._remove(node);
      this._wish[node] = this._meanHeight(this._before[node]!) ?? this._wish[node];
      this._insert(node, least);
      for (const next of this._after[node]!) {
        open.push([next, least + 1]);
      }
    }
  }

  private _meanHeight(nodes: readonly number[]): number | undefined {
    if (nodes.length === 0) {
      return undefined;
    }
    let sum = 0;
    for (const node of nodes) {
      sum += this._home[node] ?? 0;
    }
    return sum / nodes.length;
  }

  /** Put a node into a column: at the height it likes if that is free, else into the nearest gap. */
  private _insert(index: number, rank: number): void {
    while (this._columns.length <= rank) {
      const last = this._columns.length - 1;
      this._lefts.push(
        last < 0 ? 0 : this._lefts[last]! + this._widths[last]! + this._spacing.column
      );
      this._columns.push([]);
      this._widths.push(0);
    }
    const place = this.places[index]!;
    const column = this._columns[rank]!;
    place.rank = rank;
    const at = this._gap(column, this._wish[index], place.height);
    this._home[index] = at.y;
    column.splice(at.position, 0, index);
    if (at.position === column.length - 1) {
      const above = column[at.position - 1];
      const floor = above === undefined ? -Infinity : this._bottom(above) + this._spacing.row;
      place.y = Math.max(at.y, floor);
    } else {
      this._stack(rank);
    }
    this._widen(rank);
    place.x = this._lefts[rank]!;
  }

  /** Where there is room in a column for a node of this height, nearest to `wish`. */
  private _gap(
    column: readonly number[],
    wish: number | undefined,
    height: number
  ): { y: number; position: number } {
    const row = this._spacing.row;
    const last = column.at(-1);
    const end = last === undefined ? 0 : this._home[last]! + this.places[last]!.height + row;
    if (last === undefined) {
      return { y: wish ?? 0, position: 0 };
    }
    if (wish === undefined || column.length > SEARCHED) {
      return { y: Math.max(end, wish ?? end), position: column.length };
    }
    let best = { y: Math.max(end, wish), position: column.length };
    let top = -Infinity;
    for (let position = 0; position < column.length; position++) {
      const below = this._home[column[position]!]! - row - height;
      const y = Math.max(top, Math.min(wish, below));
      if (y <= below && Number.isFinite(y) && Math.abs(y - wish) < Math.abs(best.y - wish)) {
        best = { y, position };
      }
      top = this._home[column[position]!]! + this.places[column[position]!]!.height + row;
    }
    return best;
  }

  /** Let nobody in a column overlap; each as near to its home as those above it allow. */
  private _stack(rank: number): void {
    let floor = -Infinity;
    for (const index of this._columns[rank]!) {
      const place = this.places[index]!;
      place.y = Math.max(this._home[index]!, floor);
      floor = place.y + place.height + this._spacing.row;
    }
  }

  private _remove(index: number): void {
    const column = this._columns[this.places[index]!.rank]!;
    const at = column.at(-1) === index ? column.length - 1 : column.indexOf(index);
    column.splice(at, 1);
  }

  /** Make a column as wide as its widest node; the columns after it move along. */
  private _widen(rank: number): void {
    const column = this._columns[rank]!;
    let width = 0;
    for (const index of column.length > SEARCHED ? column.slice(-1) : column) {
      width = Math.max(width, this.places[index]!.width);
    }
    if (column.length > SEARCHED) {
      width = Math.max(width, this._widths[rank]!);
    }
    if (width === this._widths[rank]) {
      return;
    }
    this._widths[rank] = width;
    for (let next = rank + 1; next < this._columns.length; next++) {
      const left = this._lefts[next - 1]! + this._widths[next - 1]! + this._spacing.column;
      this._lefts[next] = left;
      for (const index of this._columns[next]!) {
        this.places[index]!.x = left;
      }
    }
  }

  private _bottom(index: number): number {
    return this.places[index]!.y + this.places[index]!.height;
  }

  private readonly _spacing: ISpacing;
  private readonly _after: number[][] = [];
  private readonly _before: number[][] = [];
  /** The height on which a node would like to stand. */
  private readonly _wish: (number | undefined)[] = [];
  /** The height on which it stands while nothing above it needs more room. */
  private readonly _home: number[] = [];
  /** Nodes by column, from top to bottom. */
  private readonly _columns: number[][] = [];
  private readonly _widths: number[] = [];
  /** Where each column begins. */
  private readonly _lefts: number[] = [];
}
