/** Which groups share a card: one function has a card of its own, the methods of a class of actors share one. Pure. */
import { classOf, isActorGroup } from './lanes.js';
import { N_STATES } from './taskStates.js';
import { NO_GROUP, type IGroup, type TaskStore } from './taskStore.js';

/** A card: a group, or all methods of a class of actors that were called from one place. */
export interface ICard {
  /** The first of its groups, by which it is opened. */
  head: number;
  groups: readonly IGroup[];
  /** Whether it has lanes. */
  ofActors: boolean;
  total: number;
  /** Tasks by state. */
  counts: ArrayLike<number>;
}

/** The cards of one cluster. A card is known by its head, the first of its groups. */
export class Cards {
  constructor(store: TaskStore) {
    this._store = store;
  }

  /** The heads, in the order in which they came; and the head of each group's card. */
  heads: number[] = [];
  head: number[] = [];

  /** The cards, in the order in which they came. */
  get all(): ICard[] {
    return this.heads.map(head => this.card(head));
  }

  /** The same, each before those whose tasks its own have started: as a tree is read. */
  get inTree(): ICard[] {
    const below = new Map<number, ICard[]>();
    for (const card of this.all) {
      const { parent } = card.groups[0]!;
      const above = parent === NO_GROUP ? NO_GROUP : this.head[parent]!;
      below.set(above, [...(below.get(above) ?? []), card]);
    }
    const under = (above: number): ICard[] =>
      (below.get(above) ?? []).flatMap(card => [card, ...under(card.head)]);
    return under(NO_GROUP);
  }

  /** The card on which a group stands. */
  card(group: number): ICard {
    const store = this._store;
    const head = this.head[group]!;
    const groups = this.groupsOf(head);
    const ofActors = isActorGroup(store, groups[0]!);
    if (groups.length === 1) {
      const { tasks, counts } = groups[0]!;
      return { head, groups, ofActors, total: tasks.length, counts };
    }
    const counts = new Int32Array(N_STATES);
    let total = 0;
    for (const one of groups) {
      total += one.tasks.length;
      one.counts.forEach((count, code) => (counts[code]! += count));
    }
    return { head, groups, ofActors, total, counts };
  }

  /** The groups on the card with this head. */
  groupsOf(head: number): readonly IGroup[] {
    return this._members.get(head) ?? [this._store.groups[head]!];
  }

  /** Take over the groups that are new; returns the heads of new cards, which are part of `heads` once they have a place. */
  grow(): number[] {
    const { groups } = this._store;
    const first = this.head.length;
    for (let index = first; index < groups.length; index++) {
      this.head.push(this._headOf(groups[index]!));
    }
    return this.head.slice(first).filter((head, n) => head === first + n);
  }

  /** Nothing is known any more. */
  clear(): void {
    this.heads = [];
    this.head = [];
    this._members.clear();
    this._classes.clear();
  }

  /** The group on whose card a new one stands: methods of one class share one. */
  private _headOf(group: IGroup): number {
    if (!isActorGroup(this._store, group)) {
      return group.index;
    }
    const key = `${group.parent} ${classOf(this._store, group)}`;
    const head = this._classes.get(key);
    if (head === undefined) {
      this._classes.set(key, group.index);
      this._members.set(group.index, [group]);
      return group.index;
    }
    this._members.get(head)!.push(group);
    return head;
  }

  private readonly _store: TaskStore;
  /** The groups of cards of actors; and starter and class of actors -> the head of their card. */
  private readonly _members = new Map<number, IGroup[]>();
  private readonly _classes = new Map<string, number>();
}
