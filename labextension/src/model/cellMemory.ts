/** Remembers in this browser tab which cell each run was of, so that cells keep their tasks over a reload. */

const KEY = 'nbray:runs';

/** Runs per kernel, and kernels; the oldest are forgotten. */
const MAX_RUNS = 300;
const MAX_KERNELS = 8;

/** Origin, id of the cell, number of the run; and whether a person has cleared what the cell showed of it. */
export type CellRun = readonly [origin: string, cell: string, number: number, cleared?: true];

/** Runs by kernel in a `Storage`; works without one too. */
export class CellMemory {
  constructor(storage: Pick<Storage, 'getItem' | 'setItem'> | null) {
    this._storage = storage;
  }

  /** The runs of a kernel, oldest first. */
  runsOf(kernel: string): readonly CellRun[] {
    return this._read().find(([id]) => id === kernel)?.[1] ?? [];
  }

  add(kernel: string, run: CellRun): void {
    const runs = [...this.runsOf(kernel).filter(([origin]) => origin !== run[0]), run];
    const others = this._read().filter(([id]) => id !== kernel);
    const all = [...others, [kernel, runs.slice(-MAX_RUNS)] as const].slice(-MAX_KERNELS);
    this._kernels = all;
    try {
      this._storage?.setItem(KEY, JSON.stringify(all));
    } catch {
      // A full or forbidden storage only costs the memory over a reload.
    }
  }

  private _read(): readonly (readonly [string, readonly CellRun[]])[] {
    if (this._kernels === null) {
      this._kernels = [];
      try {
        const stored: unknown = JSON.parse(this._storage?.getItem(KEY) ?? '[]');
        if (Array.isArray(stored)) {
          this._kernels = stored.filter(isKernel);
        }
      } catch {
        // Not ours, or damaged: begin anew.
      }
    }
    return this._kernels;
  }

  private readonly _storage: Pick<Storage, 'getItem' | 'setItem'> | null;
  private _kernels: readonly (readonly [string, readonly CellRun[]])[] | null = null;
}

function isKernel(row: unknown): row is [string, CellRun[]] {
  return (
    Array.isArray(row) &&
    typeof row[0] === 'string' &&
    Array.isArray(row[1]) &&
    row[1].every(
      run =>
        Array.isArray(run) &&
        typeof run[0] === 'string' &&
        typeof run[1] === 'string' &&
        typeof run[2] === 'number'
    )
  );
}
