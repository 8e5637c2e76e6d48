/** The life of a task: a bar of its states, and when each began. */
import type { ReactElement } from 'react';
import { OVER, stepsOf, timeOfDay, type IStep } from '../../graph/history.js';
import { FAILED, RUNNING, WAITS_FOR_INPUT } from '../../graph/taskStates.js';
import { placeName } from '../../graph/workerNames.js';
import { firstLine, formatDuration, lookOf, wordOf } from '../../graph/words.js';
import type { ITry } from '../../model/answers.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

/** Characters of an error that are told of a try; the rest is its title. */
const MESSAGE = 70;

/** The steps with their times; `tries`: the runs before the last; `left`: retries, where they are known. */
export function HistoryView(props: {
  model: IClusterModel;
  task: number;
  tries: readonly ITry[];
  left: number | null;
}): ReactElement {
  const { model, task, tries, left } = props;
  const store = model.tasks;
  const now = store.clock(performance.now());
  const steps = stepsOf(store, task, now);
  const state = store.state[task]!;
  const over = OVER.includes(state);
  const where = placeName(store, task);
  const attempt = store.attempt[task]!;
  if (steps.length === 0 && !over) {
    return <p className="nbray-dim">{t('It was there before this page looked.')}</p>;
  }
  const total = steps.reduce((sum, step) => sum + (step.to - step.from), 0);
  return (
    <>
      <div className="nbray-bar nbray-history" aria-hidden="true">
        {steps.map((step, n) => (
          <span
            key={n}
            style={{
              flexGrow: Math.max(0.01, (step.to - step.from) / Math.max(total, 1e-6)),
              background: `var(${lookOf(step.state).color})`
            }}
          />
        ))}
      </div>
      <dl>
        {tries.map(one => (
          <Moment
            key={`try ${one.attempt}`}
            time={timeOfDay(one.end, store.wall)}
            words={tryWords(one)}
            title={one.message}
          />
        ))}
        {steps.map((step, n) =>
          step.state === FAILED && tries.length > 0 ? null : (
            <Moment
              key={n}
              time={timeOfDay(step.from, store.wall)}
              words={`${stepWord(step)} ${formatDuration(step.to - step.from)}`}
            />
          )
        )}
        {over && store.end[task]! > 0 && (
          <Moment time={timeOfDay(store.end[task]!, store.wall)} words={wordOf(state)} />
        )}
        {where !== '' && <Moment time={t('where')} words={where} />}
        {(attempt > 0 || left !== null) && (
          <Moment time={t('try')} words={whichTry(attempt + 1, left)} />
        )}
      </dl>
    </>
  );
}

function Moment(props: { time: string; words: string; title?: string }): ReactElement {
  return (
    <>
      <dt className="nbray-number">{props.time}</dt>
      <dd className="nbray-number" title={props.title}>
        {props.words}
      </dd>
    </>
  );
}

/** `try 1 in process 4711 failed: ValueError: empty file` */
function tryWords({ attempt, type, message, pid }: ITry): string {
  const line = firstLine(message, MESSAGE);
  const error = [type, line].filter(Boolean).join(': ');
  return pid > 0
    ? t('try %1 in process %2 failed: %3', attempt + 1, pid, error)
    : t('try %1 failed: %2', attempt + 1, error);
}

/** `2 of 4`; `left`: more tries that it has, -1: as many as it takes. */
function whichTry(now: number, left: number | null): string {
  return left === null
    ? String(now)
    : left < 0
      ? t('%1 of as many as it takes', now)
      : t('%1 of %2', now, now + left);
}

function stepWord(step: IStep): string {
  if (step.state === RUNNING) {
    return t('ran');
  }
  if (step.state === FAILED) {
    return t('earlier tries,');
  }
  return step.state === WAITS_FOR_INPUT ? t('waited for input') : t('waited for a place');
}
