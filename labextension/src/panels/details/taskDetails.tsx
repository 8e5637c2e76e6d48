/** What is known of what is selected: one task, or one group. */
import { useEffect, useRef, type ReactElement } from 'react';
import { classOf, isActorGroup } from '../../graph/lanes.js';
import type { IHit } from '../../graph/scene.js';
import { medianMs } from '../../graph/median.js';
import {
  CANCELLED,
  DONE,
  FAILED,
  RUNNING,
  SENT,
  WAITS_FOR_INPUT,
  WAITS_FOR_PLACE
} from '../../graph/taskStates.js';
import { countWords, formatDuration, lookOf, nameOf, wordOf } from '../../graph/words.js';
import { formatCount } from '../../graph/format.js';
import { Link } from '../sentence.js';
import { StateShape } from '../shapes.js';
import { TaskFacts, TaskList } from './taskFacts.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

/** Tasks of a group that are listed by state. */
const LISTED = 8;

/** The sheet beside (or, where there is little room, below) the view. */
export function TaskDetails(props: {
  model: IClusterModel;
  hit: IHit;
  onSelect: (hit: IHit | null) => void;
}): ReactElement | null {
  const { model, hit, onSelect } = props;
  const store = model.tasks;
  const group = store.groups[hit.group];
  if (group === undefined) {
    return null;
  }
  const title = hit.task === null ? nameOf(store, group) : store.title(hit.task);
  const origin =
    store.functions[hit.task === null ? group.function : store.function[hit.task]!]?.origin ?? '';
  const cell = model.cellOf(origin);
  const code = hit.task === null ? null : store.state[hit.task]!;
  return (
    <Sheet title={title} onClose={() => onSelect(null)}>
      <p className="nbray-details-state">
        {code !== null && (
          <>
            <StateShape look={lookOf(code)} /> {wordOf(code)}
          </>
        )}
        {code === null &&
          (group.tasks.length === 1 ? t('1 task') : t('%1 tasks', formatCount(group.tasks.length)))}
        {cell !== null && (
          <>
            {' · '}
            {t('from')} <Link text={t('cell %1', cell.number)} onClick={() => void cell.show()} />
          </>
        )}
      </p>
      {hit.task === null ? (
        <GroupFacts {...props} />
      ) : (
        <TaskFacts
          key={`${store.generation}/${hit.task}`}
          model={model}
          task={hit.task}
          onSelect={onSelect}
        />
      )}
    </Sheet>
  );
}

/** The complementary region of details, whatever they are of. */
export function Sheet(props: {
  title: string;
  onClose: () => void;
  children: React.ReactNode;
}): ReactElement {
  /** What had the keyboard when it opened, and gets it back when it closes. */
  const before = useRef<Element | null>(null);
  const sheet = useRef<HTMLElement>(null);
  useEffect(() => {
    if (!sheet.current!.contains(document.activeElement)) {
      before.current = document.activeElement;
    }
  }, [props.title]);
  const close = (): void => {
    const here = before.current;
    props.onClose();
    if (here instanceof HTMLElement && here.isConnected && here !== document.body) {
      here.focus({ preventScroll: true });
    }
  };
  return (
    <aside
      className="nbray-details"
      ref={sheet}
      role="complementary"
      aria-label={props.title}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          close();
        }
      }}
    >
      <header>
        <h2 title={props.title}>{props.title}</h2>
        <button className="nbray-close" aria-label={t('Close details')} onClick={close}>
          ×
        </button>
      </header>
      {props.children}
    </aside>
  );
}

/** The lists of a group, what went wrong first. */
const SECTIONS: readonly [string, readonly number[]][] = [
  ['Failed', [FAILED]],
  ['Running', [RUNNING]],
  ['Waiting', [WAITS_FOR_PLACE, SENT, WAITS_FOR_INPUT]],
  ['Cancelled', [CANCELLED]],
  ['Done', [DONE]]
];

function GroupFacts(props: {
  model: IClusterModel;
  hit: IHit;
  onSelect: (hit: IHit | null) => void;
}): ReactElement {
  const { model, hit, onSelect } = props;
  const store = model.tasks;
  const group = store.groups[hit.group]!;
  const median = medianMs(store, group);
  const methods = isActorGroup(store, group)
    ? store.groups.filter(
        one =>
          one !== group &&
          one.parent === group.parent &&
          isActorGroup(store, one) &&
          classOf(store, one) === classOf(store, group)
      )
    : [];
  return (
    <>
      <p>{countWords(group.counts).join(', ')}</p>
      {median !== null && group.counts[DONE]! > 1 && (
        <p className="nbray-dim">{t('They run for %1 (median).', formatDuration(median))}</p>
      )}
      {methods.length > 0 && (
        <section aria-label={t('Other methods')}>
          <h3>{t('Other methods')}</h3>
          <ul className="nbray-list">
            {methods.map(one => (
              <li key={one.index}>
                <Link
                  text={nameOf(store, one)}
                  onClick={() => onSelect({ group: one.index, task: null })}
                />{' '}
                <span className="nbray-dim">{countWords(one.counts).join(', ')}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {SECTIONS.map(([name, codes]) => {
        const tasks: number[] = [];
        const count = codes.reduce((sum, code) => sum + group.counts[code]!, 0);
        for (let n = 0; n < group.tasks.length && tasks.length < Math.min(count, LISTED); n++) {
          if (codes.includes(store.state[group.tasks[n]!]!)) {
            tasks.push(group.tasks[n]!);
          }
        }
        return (
          tasks.length > 0 && (
            <section key={name} aria-label={t(name)}>
              <h3>{t(name)}</h3>
              <TaskList model={model} tasks={tasks} count={count} onSelect={onSelect} />
            </section>
          )
        );
      })}
    </>
  );
}
