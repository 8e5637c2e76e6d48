/** What is selected, as Python that gets at it. Pure. */
import type { IHit } from '../graph/scene.js';
import type { TaskStore } from '../graph/taskStore.js';
import type { IFocus } from '../tokens.js';

/** The code; `id`: of the selected task, where it is known. */
export function asCode(store: TaskStore, hit: IHit | null, id: string | null): string {
  const head = 'from nbray.util.state import';
  if (hit === null) {
    return `${head} list_tasks\n\ntasks = list_tasks(limit=10_000)`;
  }
  if (hit.task !== null && id !== null) {
    return `${head} get_task\n\n# ${oneLine(store.title(hit.task))}\ntask = get_task(${quoted(id)})`;
  }
  const name = quoted(store.functions[store.groups[hit.group]!.function]?.exact || 'task');
  const note = hit.task === null ? '' : `# among them ${oneLine(store.title(hit.task))}\n`;
  return `${head} list_tasks\n\n${note}tasks = list_tasks(filters=[("name", "=", ${name})], limit=10_000)`;
}

/** The code that gets at an object or an actor. */
export function focusAsCode({ kind, id, name }: IFocus): string {
  const head = 'from nbray.util.state import';
  return kind === 'actor'
    ? `${head} get_actor\n\n# ${oneLine(name)}\nactor = get_actor(${quoted(id)})`
    : `${head} get_objects\n\n# ${oneLine(name)}\nholders = get_objects(${quoted(id)})`;
}

/** A string literal of Python: JSON's is one. */
function quoted(text: string): string {
  return JSON.stringify(text);
}

function oneLine(text: string): string {
  return text.replace(/[\r\n\u2028\u2029]+/g, ' ');
}
