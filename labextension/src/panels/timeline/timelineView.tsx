/** The timeline as a part of the panel: canvas, a list that says the same in words, follow or hold. */
import { useEffect, useRef, useState, type ReactElement } from 'react';
import { formatDuration, wordOf } from '../../graph/words.js';
import { onTreeKey, onZoomKey } from '../graph/graphView.js';
import { HintBox } from '../hintBox.js';
import { TaskItems } from '../taskItems.js';
import { t } from '../../text.js';
import { TimelineSurface, type ITimelineHit } from './timelineSurface.js';
import type { IClusterModel } from '../../tokens.js';

/** The newest tasks, of whatever lane, that the list in words ends with. */
const LISTED = 50;

/** A lane per worker and one of the cells on one time axis with CPU, memory, store and GPUs. */
export function TimelineView(props: {
  model: IClusterModel;
  selected: number | null;
  onSelect: (task: number | null) => void;
}): ReactElement {
  const { model, selected, onSelect } = props;
  const host = useRef<HTMLDivElement>(null);
  const surface = useRef<TimelineSurface | null>(null);
  const [hint, setHint] = useState<{ what: ITimelineHit; x: number; y: number } | null>(null);
  const [follows, setFollows] = useState(true);
  /** Lanes whose tasks the list has. */
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
  const select = useRef(onSelect);
  select.current = onSelect;

  useEffect(() => {
    const made = new TimelineSurface(host.current!, model.tasks, {
      onSelect: task => select.current(task),
      onHover: (what, x, y) => setHint(what === null ? null : { what, x, y }),
      onCell: origin => void model.cellOf(origin)?.show(),
      cellRuns: () => model.cellRuns,
      cellNumber: origin => model.cellOf(origin)?.number ?? null,
      onHold: () => setFollows(false)
    });
    surface.current = made;
    const refresh = (): void => {
      if (host.current === null) {
        return; // another tab has just been chosen
      }
      made.curves.storeCapacity = model.cluster?.store_capacity ?? 0;
      host.current.style.minHeight = `${made.wanted}px`;
      made.refresh();
    };
    refresh();
    model.tasksChanged.connect(refresh);
    return () => {
      model.tasksChanged.disconnect(refresh);
      surface.current = null;
      made.dispose();
    };
  }, [model]);

  useEffect(() => {
    surface.current?.select(selected);
  }, [selected]);

  const follow = (): void => {
    setFollows(true);
    surface.current?.follow();
  };
  const store = model.tasks;
  const first = Math.max(0, store.count - LISTED);
  const words = surface.current?.words() ?? { lanes: [], cells: [], curves: [] };
  const listed = (tasks: readonly number[]): ReactElement => (
    <TaskItems
      store={store}
      tasks={tasks}
      level={2}
      selected={selected}
      onSelect={onSelect}
      onFocus={task => surface.current?.select(task)}
    />
  );
  return (
    <div className="nbray-timeline">
      <div className="nbray-timeline-canvas" ref={host}>
        {hint !== null && (
          <HintBox x={hint.x} y={hint.y} box={host.current}>
            {hintWords(model, hint.what)}
          </HintBox>
        )}
        {store.count === 0 && (
          <p className="nbray-nothing nbray-mod-low">
            {t('No tasks yet. Each worker becomes a lane here.')}
          </p>
        )}
      </div>
      <button
        className={
          follows
            ? 'jp-mod-styled nbray-quiet nbray-follow nbray-mod-on'
            : 'jp-mod-styled nbray-quiet nbray-follow'
        }
        aria-pressed={follows}
        title={t('Keep up with now. Drag along the times, or with Shift, to choose a stretch')}
        onClick={follow}
      >
        {t('Follow')}
      </button>
      <ul
        className="nbray-tree"
        role="tree"
        aria-label={t('Timeline')}
        onKeyDown={event => {
          const { ariaLevel, ariaExpanded } = event.target as HTMLElement;
          const [left, right] = [event.key === 'ArrowLeft', event.key === 'ArrowRight'];
          // Left and right go through the list where they lead somewhere; else, and with Shift, they move the axis.
          const leads = left ? ariaLevel === '2' : ariaExpanded === 'true';
          if ((left || right) && !event.defaultPrevented && (event.shiftKey || !leads)) {
            surface.current?.move(left ? -1 : 1);
            event.preventDefault();
          } else if (!onZoomKey(event, factor => surface.current?.zoom(factor), follow)) {
            onTreeKey(event);
          }
        }}
      >
        {words.lanes.map(({ lane, words: line }, n) => (
          <li
            key={lane}
            role="treeitem"
            aria-level={1}
            aria-expanded={open.has(lane)}
            tabIndex={n === 0 ? 0 : -1}
            aria-label={line}
            onKeyDown={event => {
              const key = open.has(lane) ? 'ArrowLeft' : 'ArrowRight';
              const here = event.target === event.currentTarget && !event.shiftKey;
              if (here && (event.key === key || event.key === 'Enter')) {
                setOpen(toggled(open, lane));
                event.preventDefault();
              }
            }}
          >
            {open.has(lane) && listed(surface.current?.tasksOf(lane) ?? [])}
          </li>
        ))}
        {[...words.cells, ...words.curves].map((line, n) => (
          <li
            key={line.split(',', 1)[0]}
            role="treeitem"
            aria-level={1}
            tabIndex={n === 0 && words.lanes.length === 0 ? 0 : -1}
            aria-label={line}
          />
        ))}
        <li
          role="treeitem"
          aria-level={1}
          aria-expanded={true}
          tabIndex={-1}
          aria-label={t('newest tasks')}
        >
          {listed(Array.from({ length: store.count - first }, (_, n) => first + n))}
        </li>
      </ul>
    </div>
  );
}

/** `evaluate[3] · runs · 1.2 s`; `cell 12 · ran 3 s`; `CPU · 98 % · at 12 s`. */
function hintWords(model: IClusterModel, what: ITimelineHit): string {
  const store = model.tasks;
  const now = store.clock(performance.now());
  if ('curve' in what) {
    return [what.curve, what.words, t('at %1', formatDuration(Math.max(0, what.after)))].join(
      ' · '
    );
  }
  if ('cell' in what) {
    const { number, from, to, isGuess } = what.cell;
    const took = formatDuration((to ?? now) - from);
    const words =
      to !== null
        ? t('ran %1', took)
        : isGuess
          ? t('its tasks run for %1', took)
          : t('runs for %1', took);
    return `${t('cell %1', number)} · ${words}`;
  }
  const [start, end] = [store.start[what.task]!, store.end[what.task]!];
  const words = [store.title(what.task), wordOf(store.state[what.task]!)];
  if (start > 0) {
    words.push(formatDuration((end > 0 ? end : now) - start));
  }
  return words.join(' · ');
}

function toggled(set: ReadonlySet<number>, one: number): ReadonlySet<number> {
  const other = new Set(set);
  if (!other.delete(one)) {
    other.add(one);
  }
  return other;
}
