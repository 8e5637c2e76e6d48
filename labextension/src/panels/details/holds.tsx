/** Who holds an object, in words. */
import type { ReactElement } from 'react';
import { formatBytes } from '../../graph/format.js';
import type { IHeld, IHolder } from '../../model/answers.js';
import { processName } from '../../graph/workerNames.js';
import { whereWords } from '../../model/whereWords.js';
import { Sentence, TaskLink, type Select } from '../sentence.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

/** The holders of one object. */
export function HolderList(props: {
  model: IClusterModel;
  by: readonly IHolder[];
  onSelect: Select;
}): ReactElement {
  const { by } = props;
  if (by.length === 0) {
    return <p className="nbray-dim">{t('Nobody: it goes when memory is needed.')}</p>;
  }
  return (
    <ul className="nbray-list">
      {by.map((holder, n) => (
        <li key={n}>
          <HolderWords {...props} holder={holder} />
        </li>
      ))}
    </ul>
  );
}

function HolderWords(props: {
  model: IClusterModel;
  holder: IHolder;
  onSelect: Select;
}): ReactElement {
  const { model, holder, onSelect } = props;
  switch (holder.kind) {
    case 'variable':
      return (
        <>
          {t('notebook: variable')} <code>{holder.names.join(', ')}</code>
          {holder.count > holder.names.length &&
            t(' and %1 more', holder.count - holder.names.length)}
        </>
      );
    case 'task':
      return (
        <>
          {t('argument of')}{' '}
          {holder.task === null ? (
            holder.name
          ) : (
            <TaskLink model={model} task={holder.task} onSelect={onSelect} />
          )}
        </>
      );
    case 'tasks':
      return <>{t('argument of %1 more tasks', holder.count)}</>;
    case 'more':
      return <>{t('%1 more processes', holder.count)}</>;
    default: {
      const process = processName(model.tasks, holder);
      return (
        <span title={holder.pid > 0 ? t('process %1', holder.pid) : undefined}>
          {holder.task !== null && `${process}: `}
          {holder.kind === 'view' ? t('a view of its memory in ') : t('a reference in ')}
          {holder.task === null ? (
            process
          ) : (
            <TaskLink model={model} task={holder.task} onSelect={onSelect} />
          )}
        </span>
      );
    }
  }
}

/** The objects of a task, and who holds each. */
export function WhoHolds(props: {
  model: IClusterModel;
  holds: readonly IHeld[];
  onSelect: Select;
}): ReactElement {
  const { model, holds, onSelect } = props;
  if (holds.length === 0) {
    return <p className="nbray-dim">{t('It has no values in memory now.')}</p>;
  }
  return (
    <>
      {holds.map(held => (
        <div key={held.object} className="nbray-held">
          <p>
            {held.part === 'argument' ? t('argument') : t('result')}{' '}
            {held.name !== held.part && <code>{held.name}</code>}{' '}
            <span className="nbray-number nbray-dim">
              {formatBytes(held.size)} · {whereWords(held.where)}
            </span>
            {held.made !== '' && (
              <>
                {' '}
                · {t('made in')} <Sentence model={model} text={held.made} onSelect={onSelect} />
              </>
            )}
          </p>
          <HolderList model={model} by={held.by} onSelect={onSelect} />
        </div>
      ))}
    </>
  );
}
