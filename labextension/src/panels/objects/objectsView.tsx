/** The objects: size, where, who holds them, which cell made them; and freeing one. */
import { Dialog, showDialog } from '@jupyterlab/apputils';
import { useEffect, useState, type ReactElement } from 'react';
import { plainCell, type ICell } from '../../graph/cellContent.js';
import type { TaskStore } from '../../graph/taskStore.js';
import { processName } from '../../graph/workerNames.js';
import { fromKernel } from '../../model/kernelWords.js';
import { readObjects, type IObject } from '../../model/answers.js';
import { formatBytes, formatBytesOf, formatCount } from '../../graph/format.js';
import { Action } from '../details/actions.js';
import { HolderList } from '../details/holds.js';
import { Sheet } from '../details/taskDetails.js';
import { madeAt } from '../details/taskFacts.js';
import { whereInShort, whereWords } from '../../model/whereWords.js';
import { RowTable, type IColumn } from '../rowTable.js';
import { NameLink, TaskLink, taskName, type Name, type Select } from '../sentence.js';
import { useAnswer } from '../useAnswer.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

const EVERY_MS = 2_000;

/** The tab Objects. */
export function ObjectsView(props: {
  model: IClusterModel;
  query: string;
  /** The object whose details are open at first, by its id. */
  object: string | null;
  onSelect: Select;
}): ReactElement {
  const { model, query, onSelect } = props;
  const { value, error, again } = useAnswer(model, 'objects', {}, readObjects, EVERY_MS);
  const [chosen, setChosen] = useState(props.object);
  const objects = value?.objects ?? [];
  const columns: readonly IColumn<IObject>[] = [
    { name: t('object'), key: one => titleOf(model, one), width: { least: 60, share: 1.5 } },
    {
      name: t('size'),
      key: one => one.size,
      show: one => formatBytes(one.size),
      width: { least: 58 },
      tight: 52,
      isNumber: true
    },
    {
      name: t('where'),
      key: one => whereInShort(one.where),
      width: { least: 50, share: 0.8 },
      extra: true
    },
    {
      name: t('held by'),
      key: one => holdersInShort(model.tasks, one),
      show: (one, isTight) => heldBy(holdersInShort(model.tasks, one), isTight),
      width: { least: 48, share: 2 }
    },
    {
      name: t('cell'),
      key: one => one.made,
      show: (one, isTight) => ({ pieces: [makerOf(model, one, onSelect, isTight)] }),
      width: { least: 90, share: 1 },
      tight: 46
    }
  ];
  const object = objects.find(one => one.id === chosen);
  const title = object === undefined ? '' : titleOf(model, object);
  useEffect(() => {
    model.focus = chosen === null ? null : { kind: 'object', id: chosen, name: title };
    return () => void (model.focus = null);
  }, [model, chosen, title]);
  return (
    <>
      <div className="nbray-table-and-more">
        {error !== '' && <p className="nbray-problem">{error}</p>}
        {value !== null && (
          <p className="nbray-store-line nbray-number">
            {t('object store: %1', formatBytesOf(value.used, value.capacity))}
            {' · '}
            {value.total === 1 ? t('1 object') : t('%1 objects', formatCount(value.total))}
            {value.spilled > 0 && ` · ${t('%1 on disk', formatBytes(value.spilled))}`}
            {value.total > objects.length && ` · ${t('the largest are listed')}`}
          </p>
        )}
        <RowTable
          label={t('Objects')}
          empty={
            value === null
              ? error === ''
                ? t('Asking the cluster.')
                : ''
              : t('No objects. nbray.put() and large results make them.')
          }
          rows={objects}
          columns={columns}
          id={one => one.id}
          query={query}
          selected={chosen}
          onSelect={one => setChosen(one.id)}
          first={t('size')}
        />
      </div>
      {object !== undefined && (
        <Sheet title={title} onClose={() => setChosen(null)}>
          <ObjectFacts model={model} object={object} onSelect={onSelect} again={again} />
        </Sheet>
      )}
    </>
  );
}

/** What a person calls it: its variable, or the task that made it. */
function titleOf(model: IClusterModel, object: IObject): string {
  const store = model.tasks;
  const task = object.task !== null && object.task < store.count ? store.title(object.task) : '';
  if (object.kind === 'arguments') {
    return task === '' ? t('arguments of a task') : t('arguments of %1', task);
  }
  const kinds: Record<string, string> = {
    actor: t('what an actor is made of'),
    handles: t('handles of an actor'),
    stream: t('state of a generator')
  };
  return (
    kinds[object.kind] ??
    object.names[0] ??
    (task === '' ? `${object.id.slice(0, 12)}…` : t('result of %1', task))
  );
}

function holdersInShort(store: TaskStore, object: IObject): string {
  return (
    object.by
      .map(holder => {
        switch (holder.kind) {
          case 'variable':
            return t('variable %1', holder.names[0] ?? '');
          case 'task':
            return t('argument of %1', holder.name);
          case 'tasks':
          case 'more':
            return t('%1 more', holder.count);
          case 'view':
            return t('view in %1', processName(store, holder));
          default:
            return processName(store, holder);
        }
      })
      .join(', ') || t('nobody')
  );
}

/** Where there is hardly any room, a variable is told by its name alone. */
function heldBy(text: string, isTight: boolean): ICell {
  const [before, after] = t('variable %1', '\0').split('\0') as [string, string];
  const isVariable = text.startsWith(before) && (after === '' || text.includes(after));
  return plainCell(isTight && isVariable ? text.slice(before.length) : text, text);
}

/** The cell that made it, or the task. */
function makerOf(model: IClusterModel, object: IObject, onSelect: Select, isBrief = false): Name {
  const store = model.tasks;
  const task = object.task;
  if (task === null || task >= store.count) {
    return madeAt(model, object.made || '-', isBrief);
  }
  const cell = model.cellOf(store.functions[store.function[task]!]?.origin ?? '');
  return cell === null
    ? taskName(model, task, onSelect)
    : { kind: 'link', text: t('cell %1', cell.number), onClick: () => void cell.show() };
}

function ObjectFacts(props: {
  model: IClusterModel;
  object: IObject;
  onSelect: Select;
  again: () => void;
}): ReactElement {
  const { model, object, onSelect, again } = props;
  const [said, setSaid] = useState('');
  const free = async (): Promise<void> => {
    const title = titleOf(model, object);
    const answer = await showDialog({
      title: t('Free %1?', title),
      body: t(
        'Its %1 are given back. Whoever gets it later gets an ObjectFreedError.',
        formatBytes(object.size)
      ),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: t('Free') })]
    });
    if (answer.button.accept) {
      try {
        const why = await model.request('free', { object: object.id });
        setSaid(
          typeof why === 'string' && why !== '' ? t('Freed; %1.', fromKernel(why)) : t('Freed.')
        );
        again();
      } catch (error) {
        setSaid(error instanceof Error ? error.message : String(error));
      }
    }
  };
  return (
    <>
      <p className="nbray-number">
        {formatBytes(object.size)} {whereWords(object.where)}
      </p>
      <div className="nbray-actions">
        <Action name={t('Free')} why={object.noFree} onClick={() => void free()} />
      </div>
      <p className="nbray-said" role="status">
        {said}
      </p>
      <h3>{t('Who holds')}</h3>
      <HolderList model={model} by={object.by} onSelect={onSelect} />
      <h3>{t('Made by')}</h3>
      <p>
        {object.task !== null && (
          <>
            <TaskLink model={model} task={object.task} onSelect={onSelect} />{' '}
          </>
        )}
        <NameLink name={makerOf(model, object, onSelect)} />
      </p>
      <p className="nbray-dim nbray-number nbray-id">{t('id %1', object.id)}</p>
    </>
  );
}
