/** Edges between tasks, as pairs of indexes: from, to, from, to ... Pure. */

/** The tasks at the other ends of a task's edges: looked up when they are first asked for. */
export class Neighbours {
  /** The tasks whose results a task takes, and those that take its own. */
  of(task: number, edges: readonly number[]): { inputs: number[]; outputs: number[] } {
    if (this._inputs === null || this._upTo > edges.length) {
      this._inputs = new Map();
      this._outputs = new Map();
      this._upTo = 0;
    }
    for (; this._upTo < edges.length; this._upTo += 2) {
      push(this._inputs, edges[this._upTo + 1]!, edges[this._upTo]!);
      push(this._outputs, edges[this._upTo]!, edges[this._upTo + 1]!);
    }
    return { inputs: this._inputs.get(task) ?? [], outputs: this._outputs.get(task) ?? [] };
  }

  /** Indexes mean other tasks now. */
  forget(): void {
    this._inputs = null;
  }

  private _inputs: Map<number, number[]> | null = null;
  private _outputs = new Map<number, number[]>();
  private _upTo = 0;
}

/** Edges between tasks that have other indexes now, but for those of tasks that are gone. */
export function movedEdges(edges: readonly number[], now: Int32Array): number[] {
  const left: number[] = [];
  for (let at = 0; at < edges.length; at += 2) {
    const [from, to] = [now[edges[at]!] ?? -1, now[edges[at + 1]!] ?? -1];
    if (from >= 0 && to >= 0) {
      left.push(from, to);
    }
  }
  return left;
}

function push(map: Map<number, number[]>, key: number, value: number): void {
  const list = map.get(key);
  if (list === undefined) {
    map.set(key, [value]);
  } else {
    list.push(value);
  }
}
