/** The actors: a lane each, with its calls; and what is known of the one that is chosen. */
import { useEffect, useMemo, useState, type ReactElement } from 'react';
import { callsByActor, type ICalls } from '../../graph/actorCalls.js';
import type { ICell } from '../../graph/cellContent.js';
import { formatDuration, lookOf, wordOf } from '../../graph/words.js';
import { readActors, type IActor } from '../../model/answers.js';
import { formatAmount, formatCount } from '../../graph/format.js';
import { stateName } from '../../model/stateNames.js';
import { Sheet } from '../details/taskDetails.js';
import { madeAt } from '../details/taskFacts.js';
import { RowTable, type IColumn } from '../rowTable.js';
import { NameLink, TaskLink, type Select } from '../sentence.js';
import { useAnswer } from '../useAnswer.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

const EVERY_MS = 2_000;
/** Calls that a lane draws, and that the details list: the newest. */
const DRAWN = 60;
const LISTED = 30;
const NO_CALLS: ICalls = { tasks: [], done: 0, failed: 0, running: 0 };

/** The tab Actors. */
export function ActorsView(props: {
  model: IClusterModel;
  query: string;
  onSelect: Select;
}): ReactElement {
  const { model, query, onSelect } = props;
  const { value: actors, error } = useAnswer(model, 'actors', {}, readActors, EVERY_MS);
  const [chosen, setChosen] = useState<string | null>(null);
  const store = model.tasks;
  const calls = useMemo(() => callsByActor(store), [store, store.version]);
  const callsOf = (actor: IActor): ICalls => calls.get(actor.id) ?? NO_CALLS;
  // As its lane is called in the graph and in the timeline.
  const title = (one: IActor): string =>
    one.name === '' ? one.title : `${one.name} (${one.className})`;
  const columns: readonly IColumn<IActor>[] = [
    { name: t('actor'), key: title, width: { least: 72, share: 2 } },
    { name: t('state'), key: actor => stateName(actor.state), width: { least: 44, share: 0.7 } },
    { name: t('pid'), key: actor => actor.pid, width: { least: 50 }, extra: true },
    {
      name: t('calls'),
      key: actor => callsOf(actor).tasks.length,
      show: actor => lane(model, callsOf(actor)),
      width: { least: 48, share: 1.4 }
    },
    {
      name: t('cell'),
      key: actor => actor.made,
      show: actor => ({ pieces: [madeAt(model, actor.made)] }),
      width: { least: 92, share: 1 }
    },
    {
      name: t('done'),
      key: actor => callsOf(actor).done,
      width: { least: 44 },
      extra: true,
      isNumber: true
    },
    {
      name: t('pending'),
      key: actor => actor.pending,
      width: { least: 56 },
      extra: true,
      isNumber: true
    },
    {
      name: t('restarts'),
      key: actor => actor.restarts,
      width: { least: 58 },
      extra: true,
      isNumber: true
    }
  ];
  const actor = actors?.find(one => one.id === chosen);
  const chosenTitle = actor === undefined ? '' : title(actor);
  useEffect(() => {
    model.focus = chosen === null ? null : { kind: 'actor', id: chosen, name: chosenTitle };
    return () => void (model.focus = null);
  }, [model, chosen, chosenTitle]);
  return (
    <>
      <div className="nbray-table-and-more">
        {error !== '' && <p className="nbray-problem">{error}</p>}
        <RowTable
          label={t('Actors')}
          empty={
            actors === null
              ? error === ''
                ? t('Asking the cluster.')
                : ''
              : t('No actors. A class with @nbray.remote makes them.')
          }
          rows={actors ?? []}
          columns={columns}
          id={one => one.id}
          query={query}
          selected={chosen}
          onSelect={one => setChosen(one.id)}
        />
      </div>
      {actor !== undefined && (
        <Sheet title={chosenTitle} onClose={() => setChosen(null)}>
          <ActorFacts model={model} actor={actor} calls={callsOf(actor)} onSelect={onSelect} />
        </Sheet>
      )}
    </>
  );
}

/** Its newest calls, one mark each, in the colours of their states. */
function lane({ tasks: { state } }: IClusterModel, calls: ICalls): ICell {
  const words = t('%1 calls, %2 done, %3 running', calls.tasks.length, calls.done, calls.running);
  const colors = calls.tasks.slice(-DRAWN).map(task => lookOf(state[task]!).color);
  return { pieces: [{ kind: 'marks', colors, words }] };
}

function ActorFacts(props: {
  model: IClusterModel;
  actor: IActor;
  calls: ICalls;
  onSelect: Select;
}): ReactElement {
  const { model, actor, calls, onSelect } = props;
  const store = model.tasks;
  const resources = Object.entries(actor.resources).map(
    ([name, amount]) => `${formatAmount(amount)} ${name}`
  );
  return (
    <>
      <p>
        {stateName(actor.state)}
        {actor.made !== '' && (
          <>
            {' · '}
            {t('from')} <NameLink name={madeAt(model, actor.made)} />
          </>
        )}
      </p>
      {actor.cause !== '' && (
        <>
          <h3>{t('Why')}</h3>
          <p>{actor.cause}</p>
        </>
      )}
      <dl>
        <dt>{t('process')}</dt>
        <dd className="nbray-number">{actor.pid || '-'}</dd>
        <dt>{t('holds')}</dt>
        <dd>{resources.join(' · ') || t('no resources')}</dd>
        <dt>{t('restarts')}</dt>
        <dd className="nbray-number">{actor.restarts}</dd>
        <dt>{t('pending')}</dt>
        <dd className="nbray-number">{actor.pending}</dd>
      </dl>
      <h3>{t('Calls')}</h3>
      {calls.tasks.length === 0 && <p className="nbray-dim">{t('None has run yet.')}</p>}
      <ul className="nbray-list">
        {calls.tasks
          .slice(-LISTED)
          .reverse()
          .map(task => (
            <li key={task}>
              <TaskLink model={model} task={task} onSelect={onSelect} />{' '}
              <span className="nbray-dim nbray-number">
                {wordOf(store.state[task]!)}
                {store.end[task]! > 0 &&
                  ` · ${formatDuration(store.end[task]! - store.start[task]!)}`}
              </span>
            </li>
          ))}
      </ul>
      {calls.tasks.length > LISTED && (
        <p className="nbray-dim">
          {t('and %1 before them', formatCount(calls.tasks.length - LISTED))}
        </p>
      )}
      <p className="nbray-dim nbray-number">{t('id %1', actor.id)}</p>
    </>
  );
}
