/** What has failed stands above the graph: per group its first error, with class, message, cell and line. */
import { useEffect, useState, type ReactElement } from 'react';
import type { IHit } from '../../graph/scene.js';
import { FAILED } from '../../graph/taskStates.js';
import type { IGroup, TaskStore } from '../../graph/taskStore.js';
import { lookOf, nameOf } from '../../graph/words.js';
import { readTask } from '../../model/answers.js';
import { formatCount } from '../../graph/format.js';
import { placeWords } from '../details/taskFacts.js';
import { StateShape } from '../shapes.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

/** Groups with failures that are listed. */
const MAX_FAILURES = 5;
const MAX_KEPT = 100;

/** An error as it is told in one line. */
export interface IFailure {
  type: string;
  message: string;
  at: string;
}

/** The first error of a group, as far as it has been asked for. */
export function failureOf(model: IClusterModel, group: IGroup): IFailure | null {
  const task = firstFailed(model.tasks, group);
  return task === null ? null : (model.failures.get(keyOf(model.tasks, task)) ?? null);
}

/** Groups in which tasks have failed, and the first of them; `told` is called when an error has come. */
export function Failures(props: {
  model: IClusterModel;
  onSelect: (hit: IHit | null) => void;
  told: () => void;
}): ReactElement | null {
  const { model, onSelect, told } = props;
  const store = model.tasks;
  const failed = store.groups.filter(group => group.counts[FAILED]! > 0);
  const listed = failed.slice(0, MAX_FAILURES);
  const unknown = listed
    .map(group => firstFailed(store, group))
    .find(task => task !== null && !model.failures.has(keyOf(store, task)));
  const [, answered] = useState(0);
  const key = unknown === undefined || unknown === null ? '' : keyOf(store, unknown);
  useEffect(() => {
    if (key === '' || unknown === undefined || unknown === null) {
      return;
    }
    let over = false;
    const keep = (failure: IFailure | null): void => {
      if (model.failures.size >= MAX_KEPT) {
        model.failures.clear();
      }
      model.failures.set(key, failure);
      if (!over) {
        answered(n => n + 1); // and the next is asked for
        told();
      }
    };
    model.request('task', { task: unknown, generation: store.generation }).then(
      value => keep(readTask(value).error),
      () => keep(null) // only its number is told then
    );
    return () => void (over = true);
    // The key stands for the task.
  }, [model, key]);
  if (failed.length === 0) {
    return null;
  }
  return (
    <ul className="nbray-failures" aria-label={t('Failed')}>
      {listed.map(group => (
        <Failed key={group.index} model={model} group={group} onSelect={onSelect} />
      ))}
      {failed.length > MAX_FAILURES && <li>{t('and %1 more', failed.length - MAX_FAILURES)}</li>}
    </ul>
  );
}

/** A line of its own; it pulses when its error is new, not when the graph comes into view again. */
function Failed(props: {
  model: IClusterModel;
  group: IGroup;
  onSelect: (hit: IHit | null) => void;
}): ReactElement {
  const { model, group, onSelect } = props;
  const store = model.tasks;
  const task = firstFailed(store, group);
  const key = task === null ? '' : keyOf(store, task);
  const [isNew] = useState(() => !seenIn(model).has(key));
  useEffect(() => void seenIn(model).add(key), [model, key]);
  return (
    <li className={isNew ? 'nbray-mod-new' : undefined}>
      <button onClick={() => onSelect({ group: group.index, task })}>
        <StateShape look={lookOf(FAILED)} /> <Words model={model} group={group} />
      </button>
    </li>
  );
}

/** The errors that a person has been shown. */
const SEEN = new WeakMap<IClusterModel, Set<string>>();

function seenIn(model: IClusterModel): Set<string> {
  let seen = SEEN.get(model);
  if (seen === undefined || seen.size > MAX_KEPT) {
    SEEN.set(model, (seen = new Set()));
  }
  return seen;
}

function Words(props: { model: IClusterModel; group: IGroup }): ReactElement {
  const { model, group } = props;
  const store = model.tasks;
  const failure = failureOf(model, group);
  const count = group.counts[FAILED]!;
  const task = firstFailed(store, group);
  if (failure === null || task === null) {
    return <>{t('%1: %2 failed', nameOf(store, group), formatCount(count))}</>;
  }
  const place = placeWords(failure.at);
  return (
    <>
      <b>{store.title(task)}</b> {failure.type}: {failure.message.split('\n', 1)[0]}
      {place !== '' && <span className="nbray-dim"> · {place}</span>}
      {count > 1 && <span className="nbray-dim"> · {t('%1 failed', formatCount(count))}</span>}
    </>
  );
}

function firstFailed(store: TaskStore, group: IGroup): number | null {
  return group.tasks.find(one => store.state[one] === FAILED) ?? null;
}

/** A task, also when its index has changed; and which of its tries. */
function keyOf(store: TaskStore, task: number): string {
  return `${store.title(task)} ${store.submitted[task]} ${store.attempt[task]}`;
}
