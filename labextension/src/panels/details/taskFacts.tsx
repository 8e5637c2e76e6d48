/** What is known of one task: from the feed at once, the rest from its kernel, asked while it can change. */
import { useEffect, useRef, type ReactElement } from 'react';
import { OVER } from '../../graph/history.js';
import { CANCELLED, DONE, FAILED, RUNNING, WAITS_FOR_INPUT } from '../../graph/taskStates.js';
import { NO_GROUP } from '../../graph/taskStore.js';
import { firstLine, formatDuration, wordOf } from '../../graph/words.js';
import { readTask, type ITaskAnswer } from '../../model/answers.js';
import { formatBytes, formatCount } from '../../graph/format.js';
import { whereWords } from '../../model/whereWords.js';
import { cellName, Sentence, TaskLink, type Name, type Select } from '../sentence.js';
import { useAnswer } from '../useAnswer.js';
import { Actions } from './actions.js';
import { HistoryView } from './historyView.js';
import { WhoHolds } from './holds.js';
import { InputWords, ResourceWords, RunWords } from './waitWords.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

/** Between two questions about a task that is not over. */
const EVERY_MS = 1_000;
/** Neighbours that are listed by name. */
const LISTED = 8;

interface IProps {
  model: IClusterModel;
  task: number;
  onSelect: Select;
}

/** All sections about a task. */
export function TaskFacts(props: IProps): ReactElement {
  const { model, task, onSelect } = props;
  const store = model.tasks;
  const state = store.state[task]!;
  const over = OVER.includes(state);
  const args = { task, generation: store.generation, state, attempt: store.attempt[task]! };
  const {
    value: answer,
    error,
    again
  } = useAnswer(model, 'task', args, readTask, over ? 0 : EVERY_MS, !over);
  const origin = store.functions[store.function[task]!]?.origin ?? '';
  const cell = model.cellOf(origin);
  return (
    <>
      <Actions model={model} task={task} answer={answer} cell={cell} again={again} />
      {error !== '' && <p className="nbray-problem">{error}</p>}
      <Why {...props} answer={answer} />
      {answer?.error && <ErrorText model={model} error={answer.error} onSelect={onSelect} />}
      <h3>{t('History')}</h3>
      <HistoryView
        model={model}
        task={task}
        tries={answer?.tries ?? []}
        left={answer?.retries ?? null}
      />
      <Facts {...props} answer={answer} />
      <h3>{t('Arguments')}</h3>
      <Arguments {...props} answer={answer} />
      <h3>{t('Results')}</h3>
      <Results answer={answer} state={state} />
      <h3>{t('Log')}</h3>
      <Log answer={answer} over={over} />
      <h3>{t('Who holds')}</h3>
      {answer === null ? (
        <Dots />
      ) : (
        <WhoHolds model={model} holds={answer.holds} onSelect={onSelect} />
      )}
      <Lineage {...props} />
    </>
  );
}

function Dots(): ReactElement {
  return <p className="nbray-dim">…</p>;
}

/** Why it is as it is, in one sentence. */
function Why(props: IProps & { answer: ITaskAnswer | null }): ReactElement {
  const { model, task, answer, onSelect } = props;
  const store = model.tasks;
  const state = store.state[task]!;
  const ran = store.end[task]! - store.start[task]!;
  let sentence = '';
  let words: ReactElement | null = null;
  if (state === WAITS_FOR_INPUT) {
    words = InputWords({ model, task, onSelect, missing: answer?.missing ?? null });
  } else if (state < RUNNING && answer !== null && answer.waits !== null) {
    words = <ResourceWords model={model} waits={answer.waits} onSelect={onSelect} />;
  }
  if (state === RUNNING) {
    words = (
      <RunWords model={model} task={task} onSelect={onSelect} waits={answer?.waitsThere ?? ''} />
    );
  } else if (state === DONE) {
    sentence =
      store.start[task]! > 0 ? t('It is done; it ran %1.', formatDuration(ran)) : t('It is done.');
  } else if (state === CANCELLED) {
    sentence = t('It was cancelled.');
  } else if (state === FAILED) {
    const error = answer?.error;
    sentence = error
      ? `${t('It failed:')} ${error.type}: ${firstLine(error.message)}${error.at === '' ? '' : `, ${error.at}`}.`
      : t('It failed.');
  } else if (answer !== null) {
    sentence =
      answer.why !== ''
        ? answer.why
        : t('It %1. It belongs to %2, which alone knows more.', wordOf(state), answer.owner);
  }
  return (
    <section className="nbray-why" data-state={state} aria-labelledby="nbray-why">
      <h3 id="nbray-why">{t('Why')}</h3>
      <p>
        {words ??
          (sentence === '' ? '…' : <Sentence model={model} text={sentence} onSelect={onSelect} />)}
      </p>
    </section>
  );
}

function ErrorText(props: {
  model: IClusterModel;
  error: NonNullable<ITaskAnswer['error']>;
  onSelect: Select;
}): ReactElement {
  const { model, error, onSelect } = props;
  return (
    <>
      <h3>{t('Error')}</h3>
      <p className="nbray-error">
        <b>{error.type}</b> {error.message}
        {error.at !== '' && (
          <>
            {' '}
            <Sentence model={model} text={error.at} onSelect={onSelect} />
          </>
        )}
      </p>
      {error.traceback !== '' && (
        <pre className="nbray-log" tabIndex={0} aria-label={t('Traceback')}>
          {error.traceback}
        </pre>
      )}
    </>
  );
}

function Facts(props: IProps & { answer: ITaskAnswer | null }): ReactElement | null {
  const { model, task, answer, onSelect } = props;
  const store = model.tasks;
  const parent = store.parent[task]!;
  const rows: [string, ReactElement][] = [];
  if (answer !== null && answer.asked !== '') {
    rows.push([t('asked for'), <>{answer.asked}</>]);
  }
  if (parent >= 0 && parent < store.count && store.group[parent]! !== NO_GROUP) {
    rows.push([t('started by'), <TaskLink model={model} task={parent} onSelect={onSelect} />]);
  }
  if (answer !== null && answer.worker.pid > 0) {
    rows.push([
      t('process'),
      <>
        {answer.worker.pid}
        {answer.worker.ended && ` ${t('(ended)')}`}
      </>
    ]);
  }
  if (rows.length === 0) {
    return null;
  }
  return (
    <dl>
      {rows.map(([name, words]) => (
        <Row key={name} name={name}>
          {words}
        </Row>
      ))}
    </dl>
  );
}

function Row(props: { name: string; children: ReactElement }): ReactElement {
  return (
    <>
      <dt>{props.name}</dt>
      <dd className="nbray-number">{props.children}</dd>
    </>
  );
}

function Arguments(props: IProps & { answer: ITaskAnswer | null }): ReactElement {
  const { model, answer, onSelect } = props;
  if (answer === null) {
    return <Dots />;
  }
  return (
    <>
      {answer.arguments.length === 0 && answer.argumentsNote === '' && (
        <p className="nbray-dim">{t('It takes none.')}</p>
      )}
      <dl>
        {answer.arguments.map((argument, n) => (
          <Row key={n} name={argument.label}>
            <>
              <code>{argument.text}</code>
              {argument.size !== null && (
                <span className="nbray-dim"> {formatBytes(argument.size)}</span>
              )}
              {argument.task !== null && (
                <>
                  {' '}
                  {t('from')} <TaskLink model={model} task={argument.task} onSelect={onSelect} />
                </>
              )}
            </>
          </Row>
        ))}
      </dl>
      {answer.argumentsNote !== '' && <p className="nbray-dim">{answer.argumentsNote}</p>}
    </>
  );
}

function Results(props: { answer: ITaskAnswer | null; state: number }): ReactElement {
  const { answer, state } = props;
  if (answer === null) {
    return <Dots />;
  }
  if (answer.results.length === 0) {
    return (
      <p className="nbray-dim">
        {state === DONE
          ? t('None is kept: nobody refers to it any more.')
          : state < DONE
            ? t('None yet.')
            : t('None: it did not come to an end.')}
      </p>
    );
  }
  return (
    <ul className="nbray-list">
      {answer.results.map(result => (
        <li key={result.object} className="nbray-number" title={result.object}>
          {answer.results.length > 1 && `#${result.index + 1}: `}
          {result.where === 'not there yet'
            ? t('not there yet')
            : `${formatBytes(result.size)}, ${whereWords(result.where)}`}
        </li>
      ))}
    </ul>
  );
}

/** What it printed; keeps to the end while that is in sight. */
function Log(props: { answer: ITaskAnswer | null; over: boolean }): ReactElement {
  const { answer, over } = props;
  const box = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  const text = answer?.log.text ?? '';
  useEffect(() => {
    if (box.current !== null && atEnd.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [text]);
  if (answer === null) {
    return <Dots />;
  }
  return (
    <>
      {answer.log.cut && <p className="nbray-dim">{t('Its beginning is not kept.')}</p>}
      {text === '' ? (
        <p className="nbray-dim">{over ? t('It printed nothing.') : t('Nothing printed yet.')}</p>
      ) : (
        <pre
          className="nbray-log"
          ref={box}
          tabIndex={0}
          aria-label={t('Log')}
          onScroll={event => {
            const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
            atEnd.current = scrollTop + clientHeight > scrollHeight - 8;
          }}
        >
          {text}
        </pre>
      )}
      {answer.worker.log !== '' && (
        <details>
          <summary>{t('The end of its worker’s log')}</summary>
          <pre className="nbray-log" tabIndex={0}>
            {answer.worker.log}
          </pre>
        </details>
      )}
    </>
  );
}

/** Where its inputs come from, and where its result goes. */
function Lineage(props: IProps): ReactElement {
  const { model, task, onSelect } = props;
  const { inputs, outputs } = model.tasks.neighbours(task);
  return (
    <>
      <h3>{t('Lineage')}</h3>
      {inputs.length + outputs.length === 0 && (
        <p className="nbray-dim">{t('It takes no results of tasks, and no task takes its own.')}</p>
      )}
      {inputs.length > 0 && (
        <>
          <p>{t('takes the results of')}</p>
          <TaskList model={model} tasks={inputs} onSelect={onSelect} />
        </>
      )}
      {outputs.length > 0 && (
        <>
          <p>{t('its result goes to')}</p>
          <TaskList model={model} tasks={outputs} onSelect={onSelect} />
        </>
      )}
    </>
  );
}

/** Tasks by name, each with its state; the first few of `count`. */
export function TaskList(props: {
  model: IClusterModel;
  tasks: readonly number[];
  count?: number;
  onSelect: Select;
}): ReactElement {
  const { model, tasks, onSelect } = props;
  const count = props.count ?? tasks.length;
  const store = model.tasks;
  return (
    <ul className="nbray-list">
      {tasks.slice(0, LISTED).map(task => (
        <li key={task}>
          <TaskLink model={model} task={task} onSelect={onSelect} />{' '}
          <span className="nbray-dim">{wordOf(store.state[task]!)}</span>
        </li>
      ))}
      {count > LISTED && (
        <li className="nbray-dim">{t('and %1 more', formatCount(count - LISTED))}</li>
      )}
    </ul>
  );
}

/** Where something was made, `In[3]:2`, as a link to the cell; in brief without the line. */
export function madeAt(model: IClusterModel, at: string, isBrief = false): Name {
  const match = PLACE.exec(at);
  if (match === null) {
    return { kind: 'text', text: at };
  }
  const words = match[2] === undefined || isBrief ? undefined : placeWords(at);
  return cellName(model, Number(match[1]), words);
}

const PLACE = /^In\[(\d+)\](?::(\d+))?$/;

/** `In[3]:2` as `cell 3, line 2`; other places as they are. */
export function placeWords(at: string): string {
  const match = PLACE.exec(at);
  if (match === null) {
    return at;
  }
  return match[2] === undefined
    ? t('cell %1', match[1]!)
    : t('cell %1, line %2', match[1]!, match[2]);
}
