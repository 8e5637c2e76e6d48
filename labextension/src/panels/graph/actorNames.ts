/** What the lanes of actors are called: asked for while there are any. */
import { useEffect } from 'react';
import { actorTitle } from '../../graph/actorTitles.js';
import { isActorGroup, laneName } from '../../graph/lanes.js';
import { readActors } from '../../model/answers.js';
import type { IClusterModel } from '../../tokens.js';
import { useAnswer } from '../useAnswer.js';

const NONE = { actors: [] };

/** Keep the names of actors up to date while the caller is drawn; `named` is called when they have come. */
export function useActorNames(model: IClusterModel, named: () => void): void {
  const store = model.tasks;
  const any = store.groups.some(group => isActorGroup(store, group));
  // Asked again with every new process; without actors the answer is not looked at.
  const args = { processes: any ? store.workers.length : 0, generation: store.generation };
  const { value } = useAnswer(any ? model : SILENT, 'actors', args, readActors, 0);
  useEffect(() => {
    if (value !== null && value.length > 0) {
      model.actorNames = new Map(value.map(({ peer, name }) => [peer, name]));
      named();
    }
  }, [model, value, named]);
}

/** Of the model, what asks; where there is nothing to ask for. */
const SILENT = { request: () => Promise.resolve(NONE) } as unknown as IClusterModel;

/** The name of a worker's actor where it has one, else its class and number; what is no actor's, by its worker. */
export function actorLaneName(model: IClusterModel, worker: number): string {
  const peer = worker >= 0 ? model.tasks.workers[worker] : undefined;
  return (
    (peer !== undefined && model.actorNames.get(peer)) ||
    actorTitle(model.tasks, worker) ||
    laneName(worker)
  );
}

/** The same of a process, by its peer; `otherwise`: it has taken no call yet. */
export function actorNameOf(model: IClusterModel, peer: string, otherwise: string): string {
  const worker = model.tasks.workers.indexOf(peer);
  return (
    model.actorNames.get(peer) || (worker >= 0 && actorTitle(model.tasks, worker)) || otherwise
  );
}
