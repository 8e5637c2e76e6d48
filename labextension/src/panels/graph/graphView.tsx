/** The graph as a part of the panel: canvas, the tree that says the same in words, hint, buttons. */
import {
  useCallback,
  useEffect,
  useRef,
  useState,
  type KeyboardEvent,
  type ReactElement
} from 'react';
import { laneName, type ILane } from '../../graph/lanes.js';
import type { IObjectNode } from '../../graph/objectNodes.js';
import type { ICard } from '../../graph/cards.js';
import type { IHit, Scene } from '../../graph/scene.js';
import type { IGroup, TaskStore } from '../../graph/taskStore.js';
import { itemAfterKey } from '../../graph/treeKeys.js';
import {
  callWords,
  cardWords,
  countWords,
  formatDuration,
  groupWords,
  isFound,
  nameOf,
  wordOf
} from '../../graph/words.js';
import { readTask } from '../../model/answers.js';
import { formatBytes } from '../../graph/format.js';
import { nothingWith } from '../rowTable.js';
import { HintBox } from '../hintBox.js';
import { TaskItems } from '../taskItems.js';
import { Failures, failureOf } from './failures.js';
import { GraphObjects, objectWords } from './graphObjects.js';
import { GraphSurface, type IGraphEvents } from './graphSurface.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

/** How long the pointer rests on a task before its kernel is asked for more. */
const REST_MS = 400;

/** What a graph showed when a person went to another tab: open cards and the place are as they were. */
const LEFT = new WeakMap<TaskStore, GraphSurface>();

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
  const [objects, setObjects] = useState(model.shownObjects !== null);
  const showObjects = useCallback(
    (nodes: readonly IObjectNode[] | null) => surface.current?.showObjects(nodes),
    []
  );

  const drawAgain = useCallback(() => {
    surface.current?.request();
    redraw(n => n + 1);
  }, []);

  useEffect(() => {
    const events: IGraphEvents = {
      onSelect: hit => select.current.onSelect(hit),
      onObject: object => select.current.onObject(object.largest),
      onHover: (hit, x, y) => setHint(hit === null ? null : { hit, x, y }),
      onToggle: () => redraw(n => n + 1),
      cellWords: group => cellWords(model, group),
      failure: group => failureOf(model, group)?.type ?? '',
      objectWords: object => objectWords(model, object)
    };
    const made = new GraphSurface(host.current!, model.tasks, events, LEFT.get(model.tasks));
    LEFT.set(model.tasks, made);
    surface.current = made;
    const refresh = (): void => made.refresh();
    refresh();
    redraw(n => n + 1); // the tree says what the scene has
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
      made.lit =
        query.trim() === '' && lit === null
          ? null
          : group => isFound(model.tasks, group, query) && (lit === null || isLit(model, group));
      made.request();
    }
  }, [model, query, lit]);

  const onKey = (event: KeyboardEvent<HTMLElement>): void => {
    if (event.key === 'Escape') {
      onSelect(null);
    } else if (
      !onZoomKey(
        event,
        factor => surface.current?.zoom(factor),
        () => surface.current?.fit()
      )
    ) {
      onTreeKey(event);
    }
  };

  useEffect(() => {
    // Cards stand below what has failed.
    const failures = host.current?.querySelector<HTMLElement>('.nbray-failures');
    surface.current?.cover(failures ? failures.offsetTop + failures.offsetHeight : 0);
  });

  const store = model.tasks;
  const found = (group: IGroup): boolean => isFound(model.tasks, group, query);
  return (
    <div className="nbray-graph" ref={host}>
      <div className="nbray-graph-buttons">
        <button
          className={
            objects ? 'jp-mod-styled nbray-quiet nbray-mod-on' : 'jp-mod-styled nbray-quiet'
          }
          aria-pressed={objects}
          title={t('Show values that were put, and large results, between the tasks')}
          onClick={() => {
            model.shownObjects = objects ? null : { generation: model.tasks.generation, nodes: [] };
            setObjects(!objects);
          }}
        >
          {t('Objects')}
        </button>
        <button
          className="jp-mod-styled nbray-quiet"
          title={t('Show everything, without gaps')}
          onClick={() => surface.current?.arrange()}
        >
          {t('Fit')}
        </button>
      </div>
      <Failures model={model} onSelect={onSelect} told={drawAgain} />
      {hint !== null && (
        <Hint model={model} hit={hint.hit} x={hint.x} y={hint.y} box={host.current} />
      )}
      {store.count === 0 && (
        <p className="nbray-nothing">
          {t('No tasks yet. Each function that runs becomes a card here.')}
        </p>
      )}
      {store.count > 0 && query.trim() !== '' && !store.groups.some(found) && (
        <p className="nbray-none">{nothingWith(query)}</p>
      )}
      <ul className="nbray-tree" role="tree" aria-label={t('Task graph')} onKeyDown={onKey}>
        {(surface.current?.scene.cardsInTree ?? []).map((card, n) => (
          <CardItem
            key={card.head}
            {...props}
            card={card}
            first={n === 0}
            scene={surface.current!.scene}
            onToggle={() => surface.current?.toggle(card.head)}
            onFocus={hit => surface.current?.select(hit, true)}
          />
        ))}
        {objects && <GraphObjects model={model} show={showObjects} onObject={onObject} />}
      </ul>
    </div>
  );
}

/** What an item of the tree can do. */
interface IItemProps {
  model: IClusterModel;
  selected: IHit | null;
  onSelect: (hit: IHit | null) => void;
  /** The keyboard is at it: the canvas shows where that is. */
  onFocus: (hit: IHit) => void;
}

/** A card as an item of the tree: a function and its tasks, or a class of actors with its methods and lanes. */
function CardItem(
  props: IItemProps & { card: ICard; first: boolean; scene: Scene; onToggle: () => void }
): ReactElement {
  const { model, card, scene, selected, onSelect, onFocus } = props;
  const { head, groups, ofActors } = card;
  const [group] = groups as [IGroup];
  const level = group.depth + 1;
  const open = scene.isOpen(head);
  const here: IHit = { group: head, task: null };
  const lanes = scene.lanes(head);
  const store = model.tasks;
  const hitOf = (task: number): IHit => ({ group: store.group[task]!, task });
  const listed = (tasks: readonly number[], below: number): ReactElement => (
    <TaskItems
      store={store}
      tasks={tasks}
      level={below}
      selected={selected?.task ?? null}
      onSelect={task => onSelect(hitOf(task))}
      onFocus={task => onFocus(hitOf(task))}
    />
  );
  return (
    <li
      role="treeitem"
      tabIndex={props.first ? 0 : -1}
      aria-level={level}
      aria-expanded={open || ofActors}
      aria-selected={!ofActors && selected?.group === head && selected.task === null}
      aria-label={cardWords(model.tasks, card)}
      aria-current={groups.some(one => isLit(model, one))}
      data-group={head}
      onFocus={event => event.target === event.currentTarget && onFocus(here)}
      onKeyDown={event => {
        if (event.target !== event.currentTarget) {
          return;
        }
        if (event.key === 'Enter') {
          onSelect(here);
          props.onToggle();
        } else if (event.key === (scene.isOpen(head) ? 'ArrowLeft' : 'ArrowRight')) {
          props.onToggle();
          event.preventDefault(); // it stays where it is
        }
      }}
    >
      {lanes !== null ? (
        <ul role="group">
          {groups.map(method => (
            <MethodItem key={method.index} {...props} group={method} level={level + 1} />
          ))}
          {lanes.lanes.map(lane => (
            <li
              key={`lane ${lane.worker}`}
              role="treeitem"
              tabIndex={-1}
              aria-level={level + 1}
              aria-expanded={true}
              aria-label={laneWords(model, lane)}
            >
              {listed(lane.tasks, level + 2)}
            </li>
          ))}
        </ul>
      ) : (
        open && listed(group.tasks, level + 1)
      )}
    </li>
  );
}

/** A method of a class of actors. */
function MethodItem(props: IItemProps & { group: IGroup; level: number }): ReactElement {
  const { model, group, selected } = props;
  const hit: IHit = { group: group.index, task: null };
  return (
    <li
      role="treeitem"
      tabIndex={-1}
      aria-level={props.level}
      aria-selected={selected?.group === group.index && selected.task === null}
      aria-label={groupWords(model.tasks, group)}
      aria-current={isLit(model, group)}
      onFocus={() => props.onFocus(hit)}
      onKeyDown={event => event.key === 'Enter' && props.onSelect(hit)}
    />
  );
}

/** `trainer-0, 25 calls, 24 done, 1 running`. */
function laneWords(model: IClusterModel, { worker, total, counts }: ILane): string {
  return [laneName(model.tasks, worker), callWords(total), ...countWords(counts)].join(', ');
}

/** Whether it comes from the cell that a person is at, whose tasks light up. */
function isLit({ lit, tasks }: IClusterModel, group: IGroup): boolean {
  return lit !== null && tasks.functions[group.function]?.origin === lit;
}

/** Plus and minus scale, 0 shows everything; true: the key was one of them. */
export function onZoomKey(
  event: KeyboardEvent<HTMLElement>,
  zoom: (factor: number) => void,
  all: () => void
): boolean {
  const factor = { '+': 1.25, '=': 1.25, '-': 0.8 }[event.key];
  if (factor !== undefined) {
    zoom(factor);
  } else if (event.key === '0') {
    all();
  } else {
    return false;
  }
  event.preventDefault();
  return true;
}

/** Arrow keys, Home and End go through the items of a tree; the page does not scroll. */
export function onTreeKey(event: KeyboardEvent<HTMLElement>): void {
  if (event.defaultPrevented) {
    return; // it has opened or closed an item
  }
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>('[role=treeitem]')];
  const at = items.indexOf(document.activeElement as HTMLElement);
  const levels = items.map(item => Number(item.ariaLevel));
  const next = itemAfterKey(event.key, at, levels);
  if (next !== null) {
    items[next]?.focus();
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
  box: HTMLElement | null;
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
    <HintBox x={props.x} y={props.y} box={props.box}>
      <b>{task === null ? nameOf(store, group) : store.title(task)}</b>
      <span className="nbray-number">{lines.join(' · ')}</span>
      {task !== null && <Bytes key={task} model={model} task={task} />}
    </HintBox>
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
