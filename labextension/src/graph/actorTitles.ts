/** What actors without a name are called: `Trainer 1`, `Trainer 2`, in the order in which they took their first calls. Pure. */
import { classOf, isActorGroup } from './lanes.js';
import type { TaskStore } from './taskStore.js';

const TITLES = new WeakMap<TaskStore, Titles>();

/** The class of the actor that a worker is, and its number; null: it has taken no call. All views say the same. */
export function actorTitle(store: TaskStore, worker: number): string | null {
  let titles = TITLES.get(store);
  if (titles === undefined) {
    TITLES.set(store, (titles = new Titles(store)));
  }
  return titles.of(worker);
}

/** Of one cluster; whoever has a number keeps it. */
class Titles {
  constructor(private readonly _store: TaskStore) {}

  of(worker: number): string | null {
    const store = this._store;
    if (store.version !== this._version) {
      this._look();
      this._version = store.version;
    }
    return this._titles.get(worker) ?? null;
  }

  private _look(): void {
    const store = this._store;
    if (store.epoch !== this._epoch) {
      this._epoch = store.epoch;
      this._titles.clear();
      this._counts.clear();
      this._seen.clear();
    }
    if (store.generation !== this._generation) {
      this._generation = store.generation;
      this._seen.clear(); // the tasks have other places in their groups
    }
    const found: [task: number, worker: number, name: string][] = [];
    for (const group of store.groups) {
      if (!isActorGroup(store, group)) {
        continue;
      }
      const { tasks } = group;
      let all = true;
      for (let n = this._seen.get(group.index) ?? 0; n < tasks.length; n++) {
        const worker = store.worker[tasks[n]!]!;
        if (worker < 0) {
          all = false;
        } else if (!this._titles.has(worker)) {
          found.push([tasks[n]!, worker, classOf(store, group)]);
        }
        if (all) {
          this._seen.set(group.index, n + 1);
        }
      }
    }
    found.sort(([a], [b]) => a - b);
    for (const [, worker, name] of found) {
      if (!this._titles.has(worker)) {
        const count = (this._counts.get(name) ?? 0) + 1;
        this._counts.set(name, count);
        this._titles.set(worker, `${name} ${count}`);
      }
    }
  }

  private readonly _titles = new Map<number, string>();
  /** By class, how many have a number. */
  private readonly _counts = new Map<string, number>();
  /** By group, how many of its tasks need no look any more. */
  private readonly _seen = new Map<number, number>();
  private _version = -1;
  private _epoch = -1;
  private _generation = -1;
}
