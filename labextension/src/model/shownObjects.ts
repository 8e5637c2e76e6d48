/** The objects for a picture of the graph, also where the graph itself is not in view. */
import { objectNodes, type IObjectNode } from '../graph/objectNodes.js';
import type { IClusterModel } from '../tokens.js';
import { readObjects } from './answers.js';

/** A picture does not wait longer for a kernel that is busy. */
const ANSWER_MS = 5_000;

/**
 * The objects that a person has put into the graph, as they are now; undefined: none are to be shown.
 *
 * What the graph saw last is only the way out: it may be old, and after a fresh snapshot it means other tasks.
 */
export async function objectsForPicture(
  model: Pick<IClusterModel, 'shownObjects' | 'tasks' | 'request'>,
  wait = ANSWER_MS
): Promise<readonly IObjectNode[] | undefined> {
  if (model.shownObjects === null) {
    return undefined;
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, wait);
  });
  try {
    const { objects } = readObjects(await Promise.race([model.request('objects'), late]));
    return objectNodes(model.tasks, objects);
  } catch {
    const { shownObjects: seen, tasks } = model;
    return seen?.generation === tasks.generation ? seen.nodes : undefined;
  } finally {
    clearTimeout(timer);
  }
}
