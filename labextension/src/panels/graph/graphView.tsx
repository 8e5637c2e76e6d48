/** The graph as a part of the panel: canvas, the tree that says the same in words, hint, buttons. */
import { useEffect, useRef, useState, type KeyboardEvent, type ReactElement } from 'react';
import type { IHit } from '../../graph/scene.js';
import type { IGroup } from '../../graph/taskStore.js';
import { formatDuration, groupWords, nameOf } from '../../graph/words.js';
import { stateWord, STATES } from '../../model/states.js';
import { STATE_OF_CODE } from '../../graph/words.js';
import { GraphSurface } from './graphSurface.js';
import type { IClusterModel } from '../../tokens.js';

/** Tasks of an open group that the tree lists. */
const TREE_TASKS = 200;

/** The graph of the tasks. */
export function GraphView(props: {
  model: IClusterModel;
  selected: IHit | null;
  query: string;
  onSelect: (hit: IHit | null) => void;
}): ReactElement {
  const { model, selected, query, onSelect } = props;
  const host = useRef<HTMLDivElement>(null);
  const surface = useRef<GraphSurface | null>(null);
  const [hint, setHint] = useState<{ hit: IHit; x: number; y: number } | null>(null);
  const [, redraw] = useState(0);
  const { lit } = model;
  const select = useRef(onSelect);
  select.current = onSelect;

  useEffect(() => {
    const made = new GraphSurface(host.current!, model.tasks, {
      onSelect: hit => select.current(hit),
      onHover: (hit, x, y) => setHint(hit === null ? null : { hit, x, y }),
      onToggle: () => redraw(n => n + 1),
      cellWords: group => cellWords(model, group)
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
        <button className="jp-mod-styled" onClick={() => surface.current?.fit()}>
          Fit
        </button>
      </div>
      {hint !== null && <Hint model={model} hit={hint.hit} x={hint.x} y={hint.y} />}
      {store.count === 0 && (
        <p className="nbray-nothing">No tasks yet. Each function that runs becomes a card here.</p>
      )}
      <ul className="nbray-tree" role="tree" aria-label="Task graph" onKeyDown={onTreeKey}>
        {store.groups.map(group => {
          const open = surface.current?.scene.isOpen(group.index) ?? false;
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
                  {group.tasks.slice(0, TREE_TASKS).map(task => (
                    <li
                      key={task}
                      role="treeitem"
                      tabIndex={-1}
                      aria-level={group.depth + 2}
                      aria-selected={selected?.task === task}
                      aria-label={`${store.title(task)}, ${wordOf(store.state[task]!)}`}
                      data-task={task}
                      onKeyDown={event => {
                        if (event.key === 'Enter') {
                          onSelect({ group: group.index, task });
                          event.stopPropagation();
                        }
                      }}
                    />
                  ))}
                </ul>
              )}
            </li>
          );
        })}
      </ul>
    </div>
  );
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
  return cell === null ? '' : `cell ${cell.number}`;
}

/** The word for a state code. */
export function wordOf(code: number): string {
  const look = STATES.find(({ state }) => state === STATE_OF_CODE[code])!;
  return stateWord(look, 1);
}

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
  const lines: string[] = [];
  if (task === null) {
    lines.push(groupWords(store, group));
  } else {
    lines.push(store.title(task), wordOf(store.state[task]!));
    if (store.end[task]! > 0) {
      lines.push(formatDuration(store.end[task]! - store.start[task]!));
    }
  }
  const cell = cellWords(model, group);
  if (cell !== '') {
    lines.push(cell);
  }
  return (
    <div className="nbray-hint" style={{ left: props.x + 14, top: props.y + 14 }}>
      {lines.join(' · ')}
    </div>
  );
}
