/** What is known of one task, or of one group. */
import type { ReactElement } from 'react';
import type { IHit } from '../../graph/scene.js';
import { FAILED, NO_GROUP, RUNNING } from '../../graph/taskStore.js';
import { STATE_OF_CODE, countWords, formatDuration, nameOf } from '../../graph/words.js';
import { STATES } from '../../model/states.js';
import { StateShape } from '../shapes.js';
import { wordOf } from '../graph/graphView.js';
import type { IClusterModel } from '../../tokens.js';

/** Neighbours that are listed by name. */
const LISTED = 8;

/** The sheet beside (or, where there is little room, below) the graph. */
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
  const cell = model.cellOf(store.functions[group.function]?.origin ?? '');
  return (
    <aside className="nbray-details" role="complementary" aria-label={title}>
      <header>
        <h2>{title}</h2>
        <button className="nbray-close" aria-label="Close details" onClick={() => onSelect(null)}>
          ×
        </button>
      </header>
      {cell !== null && (
        <p>
          from{' '}
          <button className="nbray-link" onClick={() => cell.show()}>
            cell {cell.number}
          </button>
        </p>
      )}
      {hit.task === null ? (
        <GroupFacts {...props} />
      ) : (
        <TaskFacts model={model} task={hit.task} onSelect={onSelect} />
      )}
    </aside>
  );
}

function GroupFacts(props: {
  model: IClusterModel;
  hit: IHit;
  onSelect: (hit: IHit | null) => void;
}): ReactElement {
  const { model, hit, onSelect } = props;
  const store = model.tasks;
  const group = store.groups[hit.group]!;
  const failed = group.tasks.filter(task => store.state[task] === FAILED).slice(0, LISTED);
  return (
    <>
      <p>{countWords(group.counts).join(', ')}</p>
      {failed.length > 0 && (
        <>
          <h3>Failed</h3>
          <TaskList model={model} tasks={failed} onSelect={onSelect} />
        </>
      )}
    </>
  );
}

function TaskFacts(props: {
  model: IClusterModel;
  task: number;
  onSelect: (hit: IHit | null) => void;
}): ReactElement {
  const { model, task, onSelect } = props;
  const store = model.tasks;
  const code = store.state[task]!;
  const look = STATES.find(({ state }) => state === STATE_OF_CODE[code])!;
  const now = store.clock(performance.now());
  const [submitted, start] = [store.submitted[task]!, store.start[task]!];
  const end = code === RUNNING ? now : store.end[task]!;
  const { inputs, outputs } = store.neighbours(task);
  const parent = store.parent[task]!;
  return (
    <>
      <p className="nbray-details-state">
        <StateShape look={look} /> {wordOf(code)}
        {store.attempt[task]! > 0 && ` · attempt ${store.attempt[task]! + 1}`}
      </p>
      <h3>History</h3>
      <dl>
        {submitted > 0 && <Row name="submitted" words={ago(now - submitted)} />}
        {start > 0 && submitted > 0 && (
          <Row name="waited" words={formatDuration(Math.max(0, start - submitted))} />
        )}
        {start > 0 && (
          <Row name={code === RUNNING ? 'runs for' : 'ran'} words={formatDuration(end - start)} />
        )}
        {store.worker[task]! >= 0 && <Row name="on" words={`worker ${store.worker[task]! + 1}`} />}
      </dl>
      {parent >= 0 && store.group[parent] !== NO_GROUP && (
        <>
          <h3>Started by</h3>
          <TaskList model={model} tasks={[parent]} onSelect={onSelect} />
        </>
      )}
      {inputs.length > 0 && (
        <>
          <h3>Takes the results of</h3>
          <TaskList model={model} tasks={inputs} onSelect={onSelect} />
        </>
      )}
      {outputs.length > 0 && (
        <>
          <h3>Its result goes to</h3>
          <TaskList model={model} tasks={outputs} onSelect={onSelect} />
        </>
      )}
    </>
  );
}

function TaskList(props: {
  model: IClusterModel;
  tasks: readonly number[];
  onSelect: (hit: IHit | null) => void;
}): ReactElement {
  const { model, tasks, onSelect } = props;
  const store = model.tasks;
  return (
    <ul className="nbray-list">
      {tasks.slice(0, LISTED).map(task => (
        <li key={task}>
          <button
            className="nbray-link"
            onClick={() => onSelect({ group: store.group[task]!, task })}
          >
            {store.title(task)}
          </button>{' '}
          <span className="nbray-dim">{wordOf(store.state[task]!)}</span>
        </li>
      ))}
      {tasks.length > LISTED && <li className="nbray-dim">and {tasks.length - LISTED} more</li>}
    </ul>
  );
}

function Row(props: { name: string; words: string }): ReactElement {
  return (
    <>
      <dt>{props.name}</dt>
      <dd className="nbray-number">{props.words}</dd>
    </>
  );
}

function ago(ms: number): string {
  return ms < 1000 ? 'just now' : `${formatDuration(ms)} ago`;
}
