/** The graph as a part of the panel: canvas, the tree that says the same in words, hint, buttons. */
import {
  useCallback,
  useEffect,
  useRef,
  useState,
  type KeyboardEvent,
  type ReactElement
} from 'react';
import { laneName } from '../../graph/lanes.js';
import type { IObjectNode } from '../../graph/objectNodes.js';
import type { IHit } from '../../graph/scene.js';
import { FAILED, N_STATES, type IGroup } from '../../graph/taskStore.js';
import {
  countWords,
  formatDuration,
  groupWords,
  lookOf,
  nameOf,
  wordOf
} from '../../graph/words.js';
import { readTask } from '../../model/answers.js';
import { formatBytes, formatCount } from '../../model/format.js';
import { StateShape } from '../shapes.js';
import { GraphObjects, objectWords } from './graphObjects.js';
import { GraphSurface } from './graphSurface.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

/** How long the pointer rests on a task before its kernel is asked for more. */
const REST_MS = 400;
/** Groups with failures that stand above the graph. */
const MAX_FAILURES = 5;
/** Tasks of an open group that the tree lists. */
const TREE_TASKS = 200;

/** The graph of the tasks. */
export function GraphView(props: {
  model: IClusterModel;
  selected: IHit | null;
  query: string;
  onSelect: (hit: IHit | null) => void;
  /** An object was chosen, by its id. */
  onObject: (id: string) => void;
}): ReactElement {
  const { model, selected, query, onSelect, onObject } = props;
  const host = useRef<HTMLDivElement>(null);
  const surface = useRef<GraphSurface | null>(null);
  const [hint, setHint] = useState<{ hit: IHit; x: number; y: number } | null>(null);
  const [, redraw] = useState(0);
  const { lit } = model;
  const select = useRef({ onSelect, onObject });
  select.current = { onSelect, onObject };
  const [objects, setObjects] = useState(false);
  const showObjects = useCallback(
    (nodes: readonly IObjectNode[] | null) => surface.current?.showObjects(nodes),
    []
  );

  useEffect(() => {
    const made = new GraphSurface(host.current!, model.tasks, {
      onSelect: hit => select.current.onSelect(hit),
      onObject: object => select.current.onObject(object.largest),
      onHover: (hit, x, y) => setHint(hit === null ? null : { hit, x, y }),
      onToggle: () => redraw(n => n + 1),
      cellWords: group => cellWords(model, group),
      objectWords: object => objectWords(model, object)
    });
    surface.current = made;
    const refresh = (): void => made.refresh();
    refresh();
    model.tasksChanged.connect(refresh);
    return () => {
      model.tasksChanged.disconnect(refresh);
      surface.current = null;
      made.dispose();
    };
  }, [model]);

  useEffect(() => surface.current?.select(selected, true), [selected]);

  useEffect(() => {
    const made = surface.current;
    if (made !== null) {
      const words = query.trim().toLowerCase();
      made.lit =
        words === '' && lit === null
          ? null
          : group =>
              nameOf(model.tasks, group).toLowerCase().includes(words) &&
              (lit === null || model.tasks.functions[group.function]?.origin === lit);
      made.request();
    }
  }, [model, query, lit]);

  const store = model.tasks;
  return (
    <div className="nbray-graph" ref={host}>
      <div className="nbray-graph-buttons">
        <button
          className={objects ? 'jp-mod-styled nbray-mod-on' : 'jp-mod-styled'}
          aria-pressed={objects}
          title={t('Show values that were put, and large results, between the tasks')}
          onClick={() => setObjects(!objects)}
        >
          {t('Objects')}
        </button>
        <button className="jp-mod-styled" onClick={() => surface.current?.fit()}>
          {t('Fit')}
        </button>
      </div>
      <Failures model={model} onSelect={onSelect} />
      {hint !== null && <Hint model={model} hit={hint.hit} x={hint.x} y={hint.y} />}
      {store.count === 0 && (
        <p className="nbray-nothing">
          {t('No tasks yet. Each function that runs becomes a card here.')}
        </p>
      )}
      <ul className="nbray-tree" role="tree" aria-label={t('Task graph')} onKeyDown={onTreeKey}>
        {store.groups.map(group => {
          const open = surface.current?.scene.isOpen(group.index) ?? false;
          const lanes = open ? surface.current!.scene.lanes(group.index) : null;
          return (
            <li
              key={group.index}
              role="treeitem"
              tabIndex={group.index === 0 ? 0 : -1}
              aria-level={group.depth + 1}
              aria-expanded={open}
              aria-selected={selected?.group === group.index && selected.task === null}
              aria-label={groupWords(store, group)}
              data-group={group.index}
              onFocus={() => surface.current?.select({ group: group.index, task: null }, true)}
              onKeyDown={event => {
                if (event.target !== event.currentTarget) {
                  return;
                }
                const isOpen = surface.current?.scene.isOpen(group.index) ?? false;
                if (event.key === 'Enter') {
                  onSelect({ group: group.index, task: null });
                  surface.current?.toggle(group.index);
                } else if (event.key === (isOpen ? 'ArrowLeft' : 'ArrowRight')) {
                  surface.current?.toggle(group.index);
                }
              }}
            >
              {open && (
                <ul role="group">
                  {lanes === null ? (
                    <TaskItems {...props} tasks={group.tasks} level={group.depth + 2} />
                  ) : (
                    lanes.lanes.map(({ worker, tasks }) => (
                      <li
                        key={worker}
                        role="treeitem"
                        tabIndex={-1}
                        aria-level={group.depth + 2}
                        aria-expanded={true}
                        aria-label={laneWords(model, worker, tasks)}
                      >
                        <ul role="group">
                          <TaskItems {...props} tasks={tasks} level={group.depth + 3} />
                        </ul>
                      </li>
                    ))
                  )}
                </ul>
              )}
            </li>
          );
        })}
        {objects && <GraphObjects model={model} show={showObjects} onObject={onObject} />}
      </ul>
    </div>
  );
}

/** Tasks as items of the tree. */
function TaskItems(props: {
  model: IClusterModel;
  selected: IHit | null;
  onSelect: (hit: IHit | null) => void;
  tasks: readonly number[];
  level: number;
}): ReactElement {
  const { model, selected, onSelect, tasks, level } = props;
  const store = model.tasks;
  return (
    <>
      {tasks.slice(0, TREE_TASKS).map(task => (
        <li
          key={task}
          role="treeitem"
          tabIndex={-1}
          aria-level={level}
          aria-selected={selected?.task === task}
          aria-label={`${store.title(task)}, ${wordOf(store.state[task]!)}`}
          data-task={task}
          onKeyDown={event => {
            if (event.key === 'Enter') {
              onSelect({ group: store.group[task]!, task });
              event.stopPropagation();
            }
          }}
        />
      ))}
    </>
  );
}

/** `worker 3, 25 calls, 24 done, 1 running`. */
function laneWords(model: IClusterModel, worker: number, tasks: readonly number[]): string {
  const counts = new Int32Array(N_STATES);
  tasks.forEach(task => (counts[model.tasks.state[task]!]! += 1));
  const calls = tasks.length === 1 ? t('1 call') : t('%1 calls', formatCount(tasks.length));
  return [laneName(worker), calls, ...countWords(counts)].join(', ');
}

/** Arrow keys, Home and End go through the items of a tree; the page does not scroll. */
export function onTreeKey(event: KeyboardEvent<HTMLElement>): void {
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>('[role=treeitem]')];
  const at = items.indexOf(document.activeElement as HTMLElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (next !== undefined) {
    items[Math.max(0, Math.min(items.length - 1, next))]?.focus();
    event.preventDefault();
  }
}

/** `cell 7`, or nothing where it is not known. */
export function cellWords(model: IClusterModel, group: IGroup): string {
  const origin = model.tasks.functions[group.function]?.origin ?? '';
  const cell = model.cellOf(origin);
  return cell === null ? '' : t('cell %1', cell.number);
}

/** What is under the pointer: name, state, how long it took, its cell, and the bytes of its results. */
function Hint(props: {
  model: IClusterModel;
  hit: IHit;
  x: number;
  y: number;
}): ReactElement | null {
  const { model, hit } = props;
  const store = model.tasks;
  const group = store.groups[hit.group];
  if (group === undefined) {
    return null;
  }
  const task = hit.task;
  const cell = cellWords(model, group);
  const lines: string[] = [];
  if (task === null) {
    lines.push(...countWords(group.counts));
  } else {
    lines.push(wordOf(store.state[task]!));
    if (store.start[task]! > 0) {
      const end = store.end[task]! > 0 ? store.end[task]! : store.clock(performance.now());
      lines.push(formatDuration(end - store.start[task]!));
    }
  }
  if (cell !== '') {
    lines.push(cell);
  }
  return (
    <div className="nbray-hint" role="tooltip" style={{ left: props.x + 14, top: props.y + 14 }}>
      <b>{task === null ? nameOf(store, group) : store.title(task)}</b>
      <span className="nbray-number">{lines.join(' · ')}</span>
      {task !== null && <Bytes key={task} model={model} task={task} />}
    </div>
  );
}

/** How large the results of a task are: asked once the pointer has rested on it. */
function Bytes(props: { model: IClusterModel; task: number }): ReactElement | null {
  const { model, task } = props;
  const [size, setSize] = useState<number | null>(null);
  useEffect(() => {
    let over = false;
    const timer = setTimeout(() => {
      model.request('task', { task, generation: model.tasks.generation }).then(
        value => {
          const { results } = readTask(value);
          if (!over && results.length > 0) {
            setSize(results.reduce((sum, result) => sum + result.size, 0));
          }
        },
        () => undefined // nothing to say then
      );
    }, REST_MS);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [model, task]);
  return size === null ? null : (
    <span className="nbray-number">{t('results: %1', formatBytes(size))}</span>
  );
}

/** Groups in which tasks have failed, and the first of them. */
function Failures(props: {
  model: IClusterModel;
  onSelect: (hit: IHit | null) => void;
}): ReactElement | null {
  const { model, onSelect } = props;
  const store = model.tasks;
  const failed = store.groups.filter(group => group.counts[FAILED]! > 0);
  if (failed.length === 0) {
    return null;
  }
  return (
    <ul className="nbray-failures" aria-label={t('Failed')}>
      {failed.slice(0, MAX_FAILURES).map(group => (
        <li key={group.index} className="nbray-mod-new">
          <button
            onClick={() => {
              const task = group.tasks.find(one => store.state[one] === FAILED) ?? null;
              onSelect({ group: group.index, task });
            }}
          >
            <StateShape look={lookOf(FAILED)} />{' '}
            {t('%1: %2 failed', nameOf(store, group), formatCount(group.counts[FAILED]!))}
          </button>
        </li>
      ))}
      {failed.length > MAX_FAILURES && <li>{t('and %1 more', failed.length - MAX_FAILURES)}</li>}
    </ul>
  );
}
