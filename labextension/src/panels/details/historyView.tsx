/** The life of a task: a bar of its states, and when each began. */
import type { ReactElement } from 'react';
import { OVER, stepsOf, timeOfDay, type IStep } from '../../graph/history.js';
import { FAILED, RUNNING, WAITS_FOR_INPUT } from '../../graph/taskStates.js';
import { placeName } from '../../graph/workerNames.js';
import { formatDuration, lookOf, wordOf } from '../../graph/words.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

/** The steps with their times. */
export function HistoryView(props: { model: IClusterModel; task: number }): ReactElement {
  const { model, task } = props;
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
        {steps.map((step, n) => (
          <Moment
            key={n}
            time={timeOfDay(step.from, store.wall)}
            words={`${stepWord(step)} ${formatDuration(step.to - step.from)}`}
          />
        ))}
        {over && store.end[task]! > 0 && (
          <Moment time={timeOfDay(store.end[task]!, store.wall)} words={wordOf(state)} />
        )}
        {where !== '' && <Moment time={t('where')} words={where} />}
        {attempt > 0 && <Moment time={t('retries')} words={t('this is try %1', attempt + 1)} />}
      </dl>
    </>
  );
}

function Moment(props: { time: string; words: string }): ReactElement {
  return (
    <>
      <dt className="nbray-number">{props.time}</dt>
      <dd className="nbray-number">{props.words}</dd>
    </>
  );
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
