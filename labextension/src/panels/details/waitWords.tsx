/** Why a task waits, in a sentence whose names are links: what it needs and who holds it, or which inputs it lacks. */
import { Fragment, type ReactElement } from 'react';
import { RUNNING, WAITS_FOR_INPUT } from '../../graph/taskStates.js';
import { placeName } from '../../graph/workerNames.js';
import { formatDuration, wordOf } from '../../graph/words.js';
import { OVER } from '../../graph/history.js';
import type { IWaits } from '../../model/answers.js';
import { formatCount } from '../../graph/format.js';
import { CellLink, Link, Sentence, TaskLink, type Select } from '../sentence.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

/** Inputs that are listed by name. */
const LISTED = 4;

interface IProps {
  model: IClusterModel;
  onSelect: Select;
}

/** `Needs 1 GPU; 0 of 1 free; held by train[3] from cell 12 for 40 s.` */
export function ResourceWords(props: IProps & { waits: IWaits }): ReactElement {
  const { short, holders, more, ahead } = props.waits;
  const needs = short.map(({ needs }) => needs).join(t(' and '));
  const free = short
    .map(({ needs, free, total }) =>
      short.length === 1
        ? t('%1 of %2 free', free, total)
        : t('%1 of %2 %3 free', free, total, needs.replace(/^\S+ /, ''))
    )
    .join(', ');
  return (
    <>
      {t('Needs %1; %2', needs, free)}
      {holders.length > 0 && t('; held by ')}
      {holders.map((holder, n) => (
        <Fragment key={n}>
          {n > 0 && ', '}
          <HolderOf {...props} holder={holder} />
        </Fragment>
      ))}
      {more > 0 && ` ${t('and %1 more', formatCount(more))}`}.
      {ahead === 1 && ` ${t('1 task stands before this one.')}`}
      {ahead > 1 && ` ${t('%1 tasks stand before this one.', formatCount(ahead))}`}
    </>
  );
}

function HolderOf(props: IProps & { holder: IWaits['holders'][number] }): ReactElement {
  const { model, onSelect, holder } = props;
  const store = model.tasks;
  if (holder.actor || holder.task === null || holder.task >= store.count) {
    const made = /^In\[(\d+)\]/.exec(holder.made);
    return (
      <>
        {holder.actor ? <ActorLink {...props} name={holder.name} /> : holder.name || t('a worker')}
        {made === null ? (
          ` ${t('(process %1)', holder.pid)}`
        ) : (
          <>
            {' '}
            {t('from')} <CellLink model={model} number={Number(made[1])} />
          </>
        )}
        {holder.task !== null && holder.task < store.count && (
          <>
            {t(', running ')}
            <TaskLink model={model} task={holder.task} onSelect={onSelect} />
            <Since model={model} task={holder.task} />
          </>
        )}
      </>
    );
  }
  return (
    <>
      <TaskLink model={model} task={holder.task} onSelect={onSelect} />
      <FromCell model={model} task={holder.task} />
      <Since model={model} task={holder.task} />
    </>
  );
}

/** An actor; the link leads to its latest calls, where it has any. */
function ActorLink(props: IProps & { name: string }): ReactElement {
  const { model, onSelect, name } = props;
  const store = model.tasks;
  const worker = store.actors.indexOf(name);
  let call = store.count - 1;
  while (call >= 0 && !(store.worker[call] === worker && store.group[call]! >= 0)) {
    call -= 1;
  }
  const words = t('actor %1', name);
  return worker < 0 || call < 0 ? (
    <>{words}</>
  ) : (
    <Link text={words} onClick={() => onSelect({ group: store.group[call]!, task: null })} />
  );
}

/** `It has run on worker 7 for 24 s.`, or `on Trainer 2`, and what it waits for there, as far as its kernel knows. */
export function RunWords(props: IProps & { task: number; waits: string }): ReactElement {
  const { model, onSelect, task, waits } = props;
  const store = model.tasks;
  const lasts = formatDuration(store.clock(performance.now()) - store.start[task]!);
  const where = placeName(store, task);
  return (
    <>
      {where !== '' ? t('It has run on %1 for %2.', where, lasts) : t('It has run for %1.', lasts)}
      {waits !== '' && (
        <>
          {' '}
          {t('There it waits:')} <Sentence model={model} text={waits} onSelect={onSelect} />
        </>
      )}
    </>
  );
}

/**
 * `Waits for load[2], running on worker 4 for 3 s.`; none: its inputs are not known.
 *
 * The feed tells of some inputs of a task, its kernel (`missing`) of all that are not there yet.
 */
export function InputWords(
  props: IProps & { task: number; missing: { count: number; tasks: number[] } | null }
): ReactElement | null {
  const { model, onSelect, task, missing } = props;
  const store = model.tasks;
  const told = missingInputs(model, task);
  const named = missing?.tasks.filter(
    one => one < store.count && !OVER.includes(store.state[one]!)
  );
  const open = named !== undefined && named.length > 0 ? named : told;
  const count = Math.max(open.length, missing?.count ?? 0);
  if (open.length === 0) {
    return null;
  }
  return (
    <>
      {count > LISTED ? t('Waits for %1 inputs: ', formatCount(count)) : t('Waits for ')}
      {open.slice(0, LISTED).map((input, n) => (
        <Fragment key={input}>
          {n > 0 && '; '}
          <TaskLink model={model} task={input} onSelect={onSelect} />
          {store.state[input] === RUNNING ? (
            <>
              {store.worker[input]! >= 0
                ? t(', running on %1', placeName(store, input))
                : t(', running')}
              <Since model={model} task={input} />
            </>
          ) : (
            `, ${t('which %1', wordOf(store.state[input]!))}`
          )}
        </Fragment>
      ))}
      {count > LISTED && `; ${t('and %1 more', formatCount(count - LISTED))}`}.
    </>
  );
}

/** The tasks whose results a task still waits for. */
function missingInputs(model: IClusterModel, task: number): number[] {
  const store = model.tasks;
  return store.state[task] === WAITS_FOR_INPUT
    ? store.neighbours(task).inputs.filter(input => !OVER.includes(store.state[input]!))
    : [];
}

function FromCell({ model, task }: { model: IClusterModel; task: number }): ReactElement | null {
  const store = model.tasks;
  const cell = model.cellOf(store.functions[store.function[task]!]?.origin ?? '');
  return cell === null ? null : (
    <>
      {' '}
      {t('from')} <Link text={t('cell %1', cell.number)} onClick={() => void cell.show()} />
    </>
  );
}

function Since({ model, task }: { model: IClusterModel; task: number }): ReactElement | null {
  const store = model.tasks;
  const start = store.start[task]!;
  return start > 0 ? (
    <>
      {' '}
      <span className="nbray-together">
        {t('for %1', formatDuration(store.clock(performance.now()) - start))}
      </span>
    </>
  ) : null;
}
