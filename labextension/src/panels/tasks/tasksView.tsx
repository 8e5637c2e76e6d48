/** All tasks as a table: sorted by any column, filtered, drawn only where it can be seen. */
import { useEffect, useMemo, useRef, useState, type ReactElement } from 'react';
import { compare } from '../../graph/order.js';
import type { IHit } from '../../graph/scene.js';
import { RUNNING, type TaskStore } from '../../graph/taskStore.js';
import { STATE_OF_CODE, formatDuration } from '../../graph/words.js';
import { STATES } from '../../model/states.js';
import { formatCount } from '../../model/format.js';
import { StateShape } from '../shapes.js';
import { wordOf } from '../graph/graphView.js';
import type { IClusterModel } from '../../tokens.js';

const ROW = 26;
/** Rows beyond the edges, so that scrolling shows no gaps. */
const SPARE = 6;
/** Between two sortings of a table that changes. */
const SORT_MS = 500;

type Column = 'task' | 'state' | 'cell' | 'worker' | 'waited' | 'ran';
const COLUMNS: readonly [Column, string][] = [
  ['task', 'task'],
  ['state', 'state'],
  ['cell', 'cell'],
  ['worker', 'worker'],
  ['waited', 'waited'],
  ['ran', 'ran']
];

/** The table of the tasks. */
export function TasksView(props: {
  model: IClusterModel;
  query: string;
  selected: IHit | null;
  onSelect: (hit: IHit | null) => void;
}): ReactElement {
  const { model, query, selected, onSelect } = props;
  const store = model.tasks;
  const [column, setColumn] = useState<Column | null>(null);
  const [down, setDown] = useState(false);
  const [scroll, setScroll] = useState(0);
  const [height, setHeight] = useState(400);
  const [tick, setTick] = useState(0);
  const host = useRef<HTMLDivElement>(null);

  useEffect(() => {
    const observer = new ResizeObserver(() => setHeight(host.current?.clientHeight ?? 400));
    observer.observe(host.current!);
    const timer = setInterval(() => setTick(n => n + 1), SORT_MS);
    return () => {
      observer.disconnect();
      clearInterval(timer);
    };
  }, []);

  const order = useMemo(
    () => ordered(model, query, column, down),
    // The tasks change all the time: `tick` says when it is worth sorting again.
    [model, query, column, down, tick]
  );
  const first = Math.max(0, Math.floor(scroll / ROW) - SPARE);
  const shown = order.slice(first, first + Math.ceil(height / ROW) + 2 * SPARE);
  return (
    <div className="nbray-table" role="table" aria-label="Tasks" aria-rowcount={order.length + 1}>
      <div className="nbray-row nbray-row-head" role="row" aria-rowindex={1}>
        {COLUMNS.map(([name, words]) => (
          <button
            key={name}
            role="columnheader"
            aria-sort={column !== name ? 'none' : down ? 'descending' : 'ascending'}
            onClick={() => {
              setDown(column === name ? !down : false);
              setColumn(name);
            }}
          >
            {words}
            {column === name && (down ? ' ▾' : ' ▴')}
          </button>
        ))}
      </div>
      <div
        className="nbray-rows"
        ref={host}
        onScroll={event => setScroll(event.currentTarget.scrollTop)}
      >
        <div style={{ height: order.length * ROW }}>
          <div style={{ transform: `translateY(${first * ROW}px)` }}>
            {shown.map((task, n) => (
              <div
                key={task}
                role="row"
                aria-rowindex={first + n + 2}
                tabIndex={0}
                className={selected?.task === task ? 'nbray-row nbray-mod-on' : 'nbray-row'}
                onClick={() => onSelect({ group: store.group[task]!, task })}
                onKeyDown={event => {
                  if (event.key === 'Enter') {
                    onSelect({ group: store.group[task]!, task });
                  }
                }}
              >
                {COLUMNS.map(([name]) => (
                  <span key={name} role="cell">
                    {name === 'state' && (
                      <StateShape
                        look={STATES.find(
                          ({ state }) => state === STATE_OF_CODE[store.state[task]!]
                        )!}
                      />
                    )}
                    {cellText(model, task, name)}
                  </span>
                ))}
              </div>
            ))}
          </div>
        </div>
      </div>
      <p className="nbray-table-foot">
        {formatCount(order.length)} of {formatCount(store.count)} tasks
        {store.forgotten > 0 && `, ${formatCount(store.forgotten)} older ones are not listed`}
      </p>
    </div>
  );
}

function cellText(model: IClusterModel, task: number, column: Column): string {
  const store = model.tasks;
  switch (column) {
    case 'task':
      return store.title(task);
    case 'state':
      return ` ${wordOf(store.state[task]!)}`;
    case 'cell':
      return String(cellNumber(model, task) ?? '');
    case 'worker':
      return store.worker[task]! >= 0 ? String(store.worker[task]! + 1) : '';
    case 'waited':
    case 'ran': {
      const value = amountOf(store, task, column);
      return value === null ? '' : formatDuration(value);
    }
  }
}

function cellNumber(model: IClusterModel, task: number): number | null {
  const origin = model.tasks.functions[model.tasks.function[task]!]?.origin ?? '';
  return model.cellOf(origin)?.number ?? null;
}

function amountOf(store: TaskStore, task: number, column: 'waited' | 'ran'): number | null {
  const [submitted, start] = [store.submitted[task]!, store.start[task]!];
  if (start === 0) {
    return null;
  }
  if (column === 'waited') {
    return submitted > 0 ? Math.max(0, start - submitted) : null;
  }
  const end = store.state[task] === RUNNING ? store.clock(performance.now()) : store.end[task]!;
  return end - start;
}

/** The tasks that match, the newest first unless a column says otherwise. */
function ordered(
  model: IClusterModel,
  query: string,
  column: Column | null,
  down: boolean
): number[] {
  const store = model.tasks;
  const words = query.trim().toLowerCase();
  const tasks: number[] = [];
  for (let task = store.count - 1; task >= 0; task--) {
    if (
      words === '' ||
      store.title(task).toLowerCase().includes(words) ||
      wordOf(store.state[task]!).includes(words)
    ) {
      tasks.push(task);
    }
  }
  if (column === null) {
    return tasks;
  }
  const key = (task: number): number | string => {
    switch (column) {
      case 'task':
        return store.title(task);
      case 'state':
        return store.state[task]!;
      case 'cell':
        return cellNumber(model, task) ?? Infinity;
      case 'worker':
        return store.worker[task]!;
      default:
        return amountOf(store, task, column) ?? -1;
    }
  };
  const keys = new Map(tasks.map(task => [task, key(task)]));
  tasks.sort((a, b) => compare(keys.get(a)!, keys.get(b)!) || a - b);
  return down ? tasks.reverse() : tasks;
}
