/** All tasks as a table, the newest first unless a column says otherwise. */
import { useEffect, useMemo, useState, type ReactElement } from 'react';
import type { IHit } from '../../graph/scene.js';
import { RUNNING } from '../../graph/taskStates.js';
import { NO_GROUP, type TaskStore } from '../../graph/taskStore.js';
import { placeName } from '../../graph/workerNames.js';
import { formatDuration, lookOf, wordOf } from '../../graph/words.js';
import { formatCount } from '../../graph/format.js';
import { stateWord, type IStateLook } from '../../graph/states.js';
import { RowTable, type IColumn } from '../rowTable.js';
import { StateShape } from '../shapes.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

/** Between two sortings of a table that changes. */
const SORT_MS = 500;

/** The table of the tasks. */
export function TasksView(props: {
  model: IClusterModel;
  query: string;
  selected: IHit | null;
  onSelect: (hit: IHit | null) => void;
}): ReactElement {
  const { model, query, selected, onSelect } = props;
  const store = model.tasks;
  const [rows, setRows] = useState(() => newestFirst(store));
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const later = (): void => {
      timer ??= setTimeout(() => {
        timer = undefined;
        setRows(newestFirst(store));
      }, SORT_MS);
    };
    model.tasksChanged.connect(later);
    return () => {
      model.tasksChanged.disconnect(later);
      clearTimeout(timer);
    };
  }, [model, store]);
  const columns = useMemo(() => columnsOf(model), [model]);
  return (
    <RowTable
      label={t('Tasks')}
      empty={t('No tasks yet.')}
      rows={rows}
      columns={columns}
      id={String}
      query={query}
      selected={selected === null || selected.task === null ? null : String(selected.task)}
      onSelect={task => onSelect({ group: store.group[task]!, task })}
      foot={shown => {
        const counted = t('%1 of %2 tasks', formatCount(shown), formatCount(rows.length));
        return store.forgotten === 0
          ? counted
          : t('%1, %2 older ones are not listed', counted, formatCount(store.forgotten));
      }}
    />
  );
}

/** Those whose functions are known: of the others there is nothing to say yet. */
function newestFirst(store: TaskStore): number[] {
  const rows: number[] = [];
  for (let task = store.count - 1; task >= 0; task--) {
    if (store.group[task]! !== NO_GROUP) {
      rows.push(task);
    }
  }
  return rows;
}

function columnsOf(model: IClusterModel): readonly IColumn<number>[] {
  const store = model.tasks;
  const narrow = 'minmax(30px, 0.6fr)';
  const amount = (
    name: string,
    of: (task: number) => number | null,
    extra = false
  ): IColumn<number> => ({
    name,
    extra,
    isNumber: true,
    key: task => of(task) ?? -1,
    find: null,
    show: task => {
      const ms = of(task);
      return ms === null ? '' : formatDuration(ms);
    },
    width: 'minmax(62px, 0.8fr)',
    tight: '58px'
  });
  return [
    { name: t('task'), key: task => store.title(task), width: 'minmax(76px, 2fr)' },
    {
      name: t('state'),
      key: task => store.state[task]!,
      find: task => wordOf(store.state[task]!),
      show: task => (
        <>
          <StateShape look={lookOf(store.state[task]!)} />{' '}
          <StateWord look={lookOf(store.state[task]!)} />
        </>
      ),
      width: 'minmax(88px, 1.6fr)',
      tight: '64px'
    },
    {
      name: t('cell'),
      key: task => cellNumber(model, task) ?? Infinity,
      find: null,
      show: task => cellNumber(model, task) ?? '',
      width: narrow,
      tight: '28px',
      isNumber: true
    },
    {
      name: t('where'),
      key: task => placeName(store, task),
      width: 'minmax(72px, 1fr)',
      extra: true
    },
    amount(t('waited'), task => waitedMs(store, task), true),
    amount(t('ran'), task => ranMs(store, task))
  ];
}

/** The word for a state; where there is hardly any room, a short one. */
function StateWord({ look }: { look: IStateLook }): ReactElement {
  const word = stateWord(look, 1);
  return look.short === '' ? (
    <>{word}</>
  ) : (
    <span title={word}>
      <span className="nbray-mod-long">{word}</span>
      <span className="nbray-mod-short">{look.short}</span>
    </span>
  );
}

function cellNumber(model: IClusterModel, task: number): number | null {
  const origin = model.tasks.functions[model.tasks.function[task]!]?.origin ?? '';
  return model.cellOf(origin)?.number ?? null;
}

function waitedMs(store: TaskStore, task: number): number | null {
  const [submitted, start] = [store.submitted[task]!, store.start[task]!];
  return start === 0 || submitted === 0 ? null : Math.max(0, start - submitted);
}

function ranMs(store: TaskStore, task: number): number | null {
  const start = store.start[task]!;
  const end = store.state[task] === RUNNING ? store.clock(performance.now()) : store.end[task]!;
  return start === 0 ? null : end - start;
}
