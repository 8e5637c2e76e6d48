/** The timeline as a part of the panel: canvas, a list that says the same in words, follow or hold. */
import { useCallback, useEffect, useRef, useState, type ReactElement } from 'react';
import { formatDuration, wordOf } from '../../graph/words.js';
import { actorLaneName, useActorNames } from '../graph/actorNames.js';
import { onTreeKey, onZoomKey } from '../graph/graphView.js';
import { t } from '../../text.js';
import { TimelineSurface } from './timelineSurface.js';
import type { IClusterModel } from '../../tokens.js';

/** The newest tasks that the list in words has. */
const LISTED = 50;

/** A lane per worker on one time axis with CPU, memory, store and GPUs. */
export function TimelineView(props: {
  model: IClusterModel;
  selected: number | null;
  onSelect: (task: number | null) => void;
}): ReactElement {
  const { model, selected, onSelect } = props;
  const host = useRef<HTMLDivElement>(null);
  const surface = useRef<TimelineSurface | null>(null);
  const [hint, setHint] = useState<{ task: number; x: number; y: number } | null>(null);
  const [follows, setFollows] = useState(true);
  const drawAgain = useCallback(() => surface.current?.request(), []);
  useActorNames(model, drawAgain);
  const select = useRef(onSelect);
  select.current = onSelect;

  useEffect(() => {
    const made = new TimelineSurface(host.current!, model.tasks, {
      onSelect: task => select.current(task),
      onHover: (task, x, y) => setHint(task === null ? null : { task, x, y }),
      onHold: () => setFollows(false),
      laneName: worker => actorLaneName(model, worker)
    });
    surface.current = made;
    const refresh = (): void => {
      if (host.current === null) {
        return; // another tab has just been chosen
      }
      made.storeCapacity = model.cluster?.store_capacity ?? 0;
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
    if (surface.current !== null) {
      surface.current.selected = selected;
      surface.current.request();
    }
  }, [selected]);

  const follow = (): void => {
    setFollows(true);
    surface.current?.follow();
  };
  const store = model.tasks;
  const first = Math.max(0, store.count - LISTED);
  const words = surface.current?.words() ?? { lanes: [], curves: [] };
  return (
    <div className="nbray-timeline">
      <div className="nbray-timeline-canvas" ref={host}>
        {hint !== null && (
          <div className="nbray-hint" style={{ left: hint.x + 14, top: hint.y + 14 }}>
            {[
              store.title(hint.task),
              wordOf(store.state[hint.task]!),
              store.end[hint.task]! > 0
                ? formatDuration(store.end[hint.task]! - store.start[hint.task]!)
                : ''
            ]
              .filter(Boolean)
              .join(' · ')}
          </div>
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
          const task = (event.target as HTMLElement).dataset['task'];
          if (event.key === 'Enter' && task !== undefined) {
            onSelect(Number(task));
          } else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
            surface.current?.move(event.key === 'ArrowLeft' ? -1 : 1);
            event.preventDefault();
          } else if (!onZoomKey(event, factor => surface.current?.zoom(factor), follow)) {
            onTreeKey(event);
          }
        }}
      >
        {[...words.lanes.map(lane => lane.words), ...words.curves].map((line, n) => (
          <li
            key={line.split(',', 1)[0]}
            role="treeitem"
            aria-level={1}
            tabIndex={n === 0 ? 0 : -1}
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
          <ul role="group">
            {Array.from({ length: store.count - first }, (_, n) => first + n).map(task => (
              <li
                key={task}
                role="treeitem"
                aria-level={2}
                tabIndex={-1}
                aria-selected={selected === task}
                data-task={task}
                aria-label={`${store.title(task)}, ${wordOf(store.state[task]!)}`}
              />
            ))}
          </ul>
        </li>
      </ul>
    </div>
  );
}
