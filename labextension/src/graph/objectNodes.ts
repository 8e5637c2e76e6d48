/** Which objects stand in the graph: values that were put, and large results of tasks. Pure. */
import { NO_GROUP, type TaskStore } from './taskStore.js';

/** Results of a group that are smaller in all are not worth a node. */
export const LARGE_BYTES = 1_000_000;
/** Nodes that the graph shows; the largest. */
const MAX_NODES = 60;

/** What is needed of an object. */
export interface IStoredObject {
  id: string;
  size: number;
  kind: string;
  made: string;
  task: number | null;
  names: readonly string[];
  takers: readonly number[];
}

/** Objects that came from the same place. */
export interface IObjectNode {
  /** Stays the same while any of them are there. */
  key: string;
  /** Variable of the first that has one. */
  name: string;
  /** Group whose results they are; NO_GROUP: they were put. */
  maker: number;
  /** Where they were put. */
  made: string;
  /** Groups whose tasks take them. */
  takers: number[];
  count: number;
  /** Bytes of all. */
  size: number;
  /** The largest. */
  largest: string;
}

/** The nodes, the largest first. */
export function objectNodes(store: TaskStore, objects: readonly IStoredObject[]): IObjectNode[] {
  const found = new Map<string, IObjectNode>();
  const largest = new Map<string, number>();
  const groupOf = (task: number): number => (task < store.count ? store.group[task]! : NO_GROUP);
  for (const object of objects) {
    const maker = object.task === null ? NO_GROUP : groupOf(object.task);
    if (object.kind !== 'value' || (object.task !== null && maker === NO_GROUP)) {
      continue;
    }
    // Those of a list are one node.
    const name = (object.names[0] ?? '').replace(/\[.*\]$/, '');
    const key = maker !== NO_GROUP ? `of ${maker}` : `put ${name || object.made}`;
    let node = found.get(key);
    if (node === undefined) {
      const { made, id } = object;
      node = { key, name, maker, made, takers: [], count: 0, size: 0, largest: id };
      found.set(key, node);
    }
    node.name ||= name;
    node.count += 1;
    node.size += object.size;
    if (object.size > (largest.get(key) ?? -1)) {
      largest.set(key, object.size);
      node.largest = object.id;
    }
    const takers = object.task === null ? object.takers : store.neighbours(object.task).outputs;
    for (const task of takers) {
      const group = groupOf(task);
      if (group !== NO_GROUP && group !== maker && !node.takers.includes(group)) {
        node.takers.push(group);
      }
    }
  }
  return [...found.values()]
    .filter(node => node.maker === NO_GROUP || node.size >= LARGE_BYTES)
    .sort((a, b) => b.size - a.size)
    .slice(0, MAX_NODES);
}
