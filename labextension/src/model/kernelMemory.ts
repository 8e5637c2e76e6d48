/** Remembers in this browser tab which kernels have nbray, so that a reload in mid-cell need not ask. */
import type { IKernelMemory } from './kernelLink.js';

const KEY = 'nbray:kernels';

/** More than anybody has open; the oldest are forgotten. */
const LIMIT = 64;

/** Kernel ids in a `Storage`, by default the tab's; works without one too. */
export class KernelMemory implements IKernelMemory {
  constructor(storage: Pick<Storage, 'getItem' | 'setItem'> | null) {
    this._storage = storage;
  }

  has(kernelId: string): boolean {
    return this._read().includes(kernelId);
  }

  add(kernelId: string): void {
    const ids = this._read();
    if (!ids.includes(kernelId)) {
      this._write([...ids, kernelId].slice(-LIMIT));
    }
  }

  delete(kernelId: string): void {
    const ids = this._read();
    if (ids.includes(kernelId)) {
      this._write(ids.filter(id => id !== kernelId));
    }
  }

  private _read(): string[] {
    if (this._ids === null) {
      try {
        const stored: unknown = JSON.parse(this._storage?.getItem(KEY) ?? '[]');
        this._ids = Array.isArray(stored) ? stored.filter(id => typeof id === 'string') : [];
      } catch {
        this._ids = [];
      }
    }
    return this._ids;
  }

  private _write(ids: string[]): void {
    this._ids = ids;
    try {
      this._storage?.setItem(KEY, JSON.stringify(ids));
    } catch {
      // A full or forbidden storage only costs the memory over a reload.
    }
  }

  private readonly _storage: Pick<Storage, 'getItem' | 'setItem'> | null;
  private _ids: string[] | null = null;
}
