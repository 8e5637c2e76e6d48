/** All tasks as a table, the newest first unless a column says otherwise. */
import { useEffect, useMemo, useState, type ReactElement } from 'react';
import type { ICell } from '../../graph/cellContent.js';
import type { IHit } from '../../graph/scene.js';
import { RUNNING } from '../../graph/taskStates.js';
import { NO_GROUP, type TaskStore } from '../../graph/taskStore.js';
import { placeName } from '../../graph/workerNames.js';
import { formatDuration, lookOf, wordOf } from '../../graph/words.js';
import { formatCount } from '../../graph/format.js';
import { stateWord, type IStateLook } from '../../graph/states.js';
import { RowTable, type IColumn } from '../rowTable.js';
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
  const narrow = { least: 30, share: 0.6 };
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
    width: { least: 62, share: 0.8 },
    tight: 58
  });
  return [
    { name: t('task'), key: task => store.title(task), width: { least: 76, share: 2 } },
    {
      name: t('state'),
      key: task => store.state[task]!,
      find: task => wordOf(store.state[task]!),
      show: (task, isTight) => stateCell(lookOf(store.state[task]!), isTight),
      width: { least: 88, share: 1.6 },
      tight: 64
    },
    {
      name: t('cell'),
      key: task => cellNumber(model, task) ?? Infinity,
      find: null,
      show: task => cellNumber(model, task) ?? '',
      width: narrow,
      tight: 28,
      isNumber: true
    },
    {
      name: t('where'),
      key: task => placeName(store, task),
      width: { least: 72, share: 1 },
      extra: true
    },
    amount(t('waited'), task => waitedMs(store, task), true),
    amount(t('ran'), task => ranMs(store, task))
  ];
}

/** The shape of a state and its word; where there is hardly any room, a short one. */
function stateCell(look: IStateLook, isTight: boolean): ICell {
  const word = stateWord(look, 1);
  const text = ` ${(isTight && look.short) || word}`;
  return {
    pieces: [
      { kind: 'shape', look },
      { kind: 'text', text }
    ],
    full: word
  };
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
