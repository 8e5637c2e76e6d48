/** What a person can do with a task. */
import { Clipboard } from '@jupyterlab/apputils';
import { useEffect, useState, type ReactElement } from 'react';
import { DONE, RUNNING } from '../../graph/taskStates.js';
import type { ITaskAnswer } from '../../model/answers.js';
import { download } from '../download.js';
import { t } from '../../text.js';
import type { ICellLink, IClusterModel } from '../../tokens.js';

/** The buttons below the details of a task. */
export function Actions(props: {
  model: IClusterModel;
  task: number;
  answer: ITaskAnswer | null;
  cell: ICellLink | null;
  again: () => void;
}): ReactElement {
  const { model, task, answer, cell, again } = props;
  const store = model.tasks;
  const [said, setSaid] = useState('');
  // What was asked for has been done, or has failed: the state says which.
  const attempt = store.attempt[task]!;
  const isOver = store.state[task]! >= DONE;
  useEffect(() => setSaid(''), [attempt, isOver]);
  const which = { task, generation: store.generation };
  const ask = (what: string, done: string, more = {}): void => {
    model.request(what, { ...which, ...more }).then(
      () => {
        setSaid(done);
        again();
      },
      (error: unknown) => setSaid(error instanceof Error ? error.message : String(error))
    );
  };
  const unknown = answer === null ? t('its details are not here yet') : '';
  // Of a task of another process only the page knows that it is over.
  const over = isOver ? t('it is over') : '';
  const noCancel = over || (answer?.noCancel ?? unknown);
  const noForce = answer?.noForce || (store.state[task] === RUNNING ? '' : t('it does not run'));
  return (
    <>
      <div className="nbray-actions" role="group" aria-label={t('Actions')}>
        <Action
          name={t('Cancel')}
          why={noCancel}
          onClick={() => ask('cancel', t('It was told to stop.'))}
        />
        <Action
          name={t('Stop by force')}
          why={noCancel || noForce}
          onClick={() => ask('cancel', t('Its worker is being ended.'), { force: true })}
        />
        <Action
          name={t('Retry')}
          why={answer?.noRetry ?? unknown}
          onClick={() => ask('retry', t('It runs again.'))}
        />
        <Action
          name={t('Show cell')}
          why={cell === null ? t('it comes from no cell of the notebook in front') : ''}
          onClick={() => void cell?.show()}
        />
        <Action
          name={t('Trace')}
          why=""
          onClick={() =>
            void model.request('trace', which).then(
              trace => download(`${store.title(task)}.trace.json`, JSON.stringify(trace)),
              (error: unknown) => setSaid(error instanceof Error ? error.message : String(error))
            )
          }
        />
        <Action
          name={t('Copy id')}
          why={answer === null || answer.id === '' ? unknown : ''}
          onClick={() => {
            Clipboard.copyToSystem(answer!.id);
            setSaid(t('Its id is in the clipboard.'));
          }}
        />
      </div>
      <p className="nbray-said" role="status">
        {said}
      </p>
    </>
  );
}

/** A button; one that cannot be used says why. */
export function Action(props: { name: string; why: string; onClick: () => void }): ReactElement {
  const { name, why, onClick } = props;
  return (
    <button
      className="jp-mod-styled"
      disabled={why !== ''}
      title={why === '' ? name : `${name}: ${why}`}
      aria-label={why === '' ? name : `${name}: ${why}`}
      onClick={onClick}
    >
      {name}
    </button>
  );
}
