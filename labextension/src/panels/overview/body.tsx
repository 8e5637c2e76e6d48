/** What the overview shows: a line about the cluster, the tasks by state, the resources. */
import { useEffect, useState, type KeyboardEvent, type ReactElement } from 'react';
import type { IHit } from '../../graph/scene.js';
import {
  formatAmount,
  formatBytes,
  formatBytesOf,
  formatCount,
  formatNoun,
  nounFor,
  type Noun
} from '../../graph/format.js';
import { totalTasks } from '../../model/feed.js';
import { BAR_ORDER, STATES, stateWord } from '../../graph/states.js';
import { ActorsView } from '../actors/actorsView.js';
import { TaskDetails } from '../details/taskDetails.js';
import { GraphView } from '../graph/graphView.js';
import { NodesTables } from '../nodes/nodesTables.js';
import { ObjectsView } from '../objects/objectsView.js';
import { StateShape } from '../shapes.js';
import { TasksView } from '../tasks/tasksView.js';
import { TimelineView } from '../timeline/timelineView.js';
import { t } from '../../text.js';
import { Line } from './line.js';
import { emptyWords } from './words.js';
import type {
  ICellLink,
  ICluster,
  IClusterModel,
  ISample,
  ISubject,
  TaskCounts,
  TaskState
} from '../../tokens.js';

const TABS = ['Graph', 'Timeline', 'Tasks', 'Actors', 'Objects', 'Nodes'] as const;
/** The tabs beside which the details of a task stand. */
const OF_TASKS: readonly Tab[] = ['Graph', 'Timeline', 'Tasks'];
type Tab = (typeof TABS)[number];

/** The whole panel: a line about the cluster, counts, tabs, and details of what is selected. */
export function Overview(props: {
  model: IClusterModel;
  /** Open the menu of what can be saved, at a place of the page. */
  onExport: (x: number, y: number) => void;
}): ReactElement {
  const { model } = props;
  const { cluster, subject } = model;
  const [tab, setTab] = useState<Tab>('Graph');
  const { selected } = model;
  const setSelected = (hit: IHit | null): void => model.select(hit);
  const [query, setQuery] = useState('');
  /** The object that the tab Objects begins with. */
  const [object, setObject] = useState<string | null>(null);
  /** A task that another tab names is shown where its details are. */
  const showTask = (hit: IHit | null): void => {
    setSelected(hit);
    setTab('Graph');
  };
  const watching = cluster !== null && tab !== 'Nodes';
  useEffect(() => (watching ? model.watchTasks() : undefined), [model, watching]);
  return (
    <div className="nbray-overview" role="region" aria-label="nbray">
      <header className="nbray-head">
        {cluster !== null ? (
          <ClusterLine cluster={cluster} isConnected={model.isConnected} />
        ) : (
          <span className="nbray-name">nbray</span>
        )}
        {subject !== null && (
          <span className="nbray-subject" title={`${subject.name}\n${followWords(subject.kind)}`}>
            {subject.name}
          </span>
        )}
        {model.counts !== null && <Tasks tasks={model.counts} />}
        {cluster?.state === ENDED && <Ended model={model} />}
      </header>
      {cluster !== null ? (
        <>
          <div className="nbray-tabs">
            <div role="tablist" aria-label={t('Views')} onKeyDown={onTabKey}>
              {TABS.map(name => (
                <button
                  key={name}
                  role="tab"
                  id={`nbray-tab-${name}`}
                  aria-selected={tab === name}
                  aria-controls="nbray-tab-body"
                  tabIndex={tab === name ? 0 : -1}
                  onClick={() => {
                    setObject(null);
                    setTab(name);
                  }}
                >
                  {tabWord(name)}
                </button>
              ))}
            </div>
            <div className="nbray-tools">
              <button
                className="jp-mod-styled nbray-quiet nbray-export"
                aria-haspopup="menu"
                title={t('Save the graph, a trace or a report; copy the selection as code')}
                onClick={event => {
                  const { left, bottom } = event.currentTarget.getBoundingClientRect();
                  props.onExport(left, bottom);
                }}
              >
                {t('Export')}
              </button>
              {tab !== 'Timeline' && (
                <input
                  className="nbray-find jp-mod-styled"
                  type="search"
                  placeholder={t('Find…')}
                  aria-label={tab === 'Graph' || tab === 'Tasks' ? t('Find tasks') : t('Find')}
                  value={query}
                  onChange={event => setQuery(event.target.value)}
                />
              )}
            </div>
          </div>
          <div
            className="nbray-tab-body"
            id="nbray-tab-body"
            role="tabpanel"
            aria-labelledby={`nbray-tab-${tab}`}
          >
            {tab === 'Graph' && (
              <GraphView
                model={model}
                selected={selected}
                query={query}
                onSelect={hit => {
                  setSelected(hit);
                  cellOf(model, hit)?.reveal();
                }}
                onObject={id => {
                  setObject(id);
                  setTab('Objects');
                }}
              />
            )}
            {tab === 'Timeline' && (
              <TimelineView
                model={model}
                selected={selected?.task ?? null}
                onSelect={task =>
                  setSelected(task === null ? null : { group: model.tasks.group[task]!, task })
                }
              />
            )}
            {tab === 'Tasks' && (
              <TasksView model={model} query={query} selected={selected} onSelect={setSelected} />
            )}
            {tab === 'Actors' && <ActorsView model={model} query={query} onSelect={showTask} />}
            {tab === 'Objects' && (
              <ObjectsView model={model} query={query} object={object} onSelect={showTask} />
            )}
            {tab === 'Nodes' && (
              <div className="nbray-nodes">
                <Resources cluster={cluster} history={model.history} />
                <NodesTables model={model} query={query} />
              </div>
            )}
            {selected !== null && OF_TASKS.includes(tab) && (
              <TaskDetails model={model} hit={selected} onSelect={setSelected} />
            )}
          </div>
          {model.tasks.dropped > 0 && OF_TASKS.includes(tab) && (
            <p className="nbray-dropped">
              {t(
                '%1 records were dropped: some tasks are missing here, the counts above are exact.',
                formatCount(model.tasks.dropped)
              )}
            </p>
          )}
        </>
      ) : (
        <Empty model={model} />
      )}
    </div>
  );
}

/** The cell that made what was hit in the graph. */
function cellOf(model: IClusterModel, hit: IHit | null): ICellLink | null {
  const group = hit === null ? undefined : model.tasks.groups[hit.group];
  return group === undefined
    ? null
    : model.cellOf(model.tasks.functions[group.function]?.origin ?? '');
}

function tabWord(tab: Tab): string {
  const words: Record<Tab, () => string> = {
    Graph: () => t('Graph'),
    Timeline: () => t('Timeline'),
    Tasks: () => t('Tasks'),
    Actors: () => t('Actors'),
    Objects: () => t('Objects'),
    Nodes: () => t('Nodes')
  };
  return words[tab]();
}

function followWords(kind: ISubject['kind']): string {
  return kind === 'cluster'
    ? t('The panel shows a cluster of this server')
    : kind === 'console'
      ? t('The panel follows the console in front')
      : t('The panel follows the notebook in front');
}

/** Left and right go from tab to tab, as in any list of tabs. */
function onTabKey(event: KeyboardEvent<HTMLElement>): void {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const tabs = [...event.currentTarget.querySelectorAll<HTMLElement>('[role=tab]')];
  const at = tabs.indexOf(document.activeElement as HTMLElement);
  if (step !== undefined && at >= 0) {
    const next = tabs[(at + step + tabs.length) % tabs.length]!;
    next.focus();
    next.click();
    event.preventDefault();
  }
}

/** The state of a cluster whose daemon is gone. */
const ENDED = 'ended';

function ClusterLine(props: { cluster: ICluster; isConnected: boolean }): ReactElement {
  const { cluster, isConnected } = props;
  const state = isConnected ? cluster.state : 'unknown';
  const words: Record<string, string> = {
    [ENDED]: t('has ended'),
    unknown: t('no connection')
  };
  const parts = [t('%1 CPU', formatAmount(cluster.cpus_total))];
  if (cluster.gpus_total > 0) {
    parts.push(t('%1 GPU', formatAmount(cluster.gpus_total)));
  }
  parts.push(t('%1 store', formatBytes(cluster.store_capacity)));
  return (
    <span className="nbray-cluster">
      <span className="nbray-lamp" data-state={state} />
      <span className="nbray-name">
        {cluster.nodes > 1 ? formatNoun(cluster.nodes, 'node') : t('local')}
      </span>
      {state !== 'running' && (
        <span
          className="nbray-state"
          role="status"
          title={
            isConnected ? undefined : t('What is shown is how it was when the connection was lost.')
          }
        >
          {words[state] ?? state}
        </span>
      )}
      <span className="nbray-dim">{parts.join(' · ')}</span>
    </span>
  );
}

/** What to do when the cluster is gone; what it did stays to be looked at. */
function Ended(props: { model: IClusterModel }): ReactElement {
  const { model } = props;
  return (
    <p className="nbray-ended">
      {t('This cluster has ended; what it did can still be looked at.')}{' '}
      {model.canInsertCell && (
        <button
          className="jp-mod-styled nbray-quiet"
          onClick={() => model.insertCell('import nbray\nnbray.shutdown()\nnbray.init()', true)}
        >
          {t('Start another')}
        </button>
      )}
    </p>
  );
}

function Tasks(props: { tasks: TaskCounts }): ReactElement {
  const { tasks } = props;
  const total = totalTasks(tasks);
  return (
    <section className="nbray-counts" aria-label={t('Tasks by state')}>
      <ul className="nbray-states">
        {STATES.map(look => {
          const count = tasks[look.state];
          return (
            <li
              key={look.state}
              data-state={look.state}
              className={count === 0 ? 'nbray-mod-none' : undefined}
              aria-label={spoken(look.state, formatCount(count))}
              title={spoken(look.state, formatCount(count))}
            >
              <StateShape look={look} lively={look.state === 'RUNNING' && count > 0} />
              <b className="nbray-number">{formatCount(count)}</b>
              <span className={look.short === '' ? undefined : 'nbray-mod-long'}>
                {stateWord(look, count)}
              </span>
              {look.short !== '' && <span className="nbray-mod-short">{look.short}</span>}
            </li>
          );
        })}
      </ul>
      <StateBar tasks={tasks} total={total} />
    </section>
  );
}

/** As a count is read aloud: `3 running`. */
function spoken(state: TaskState, count: string): string {
  const words: Record<TaskState, () => string> = {
    PENDING_ARGS_AVAIL: () => t('%1 waiting for input', count),
    PENDING_NODE_ASSIGNMENT: () => t('%1 waiting for a place', count),
    RUNNING: () => t('%1 running', count),
    FINISHED: () => t('%1 done', count),
    FAILED: () => t('%1 failed', count),
    CANCELLED: () => t('%1 cancelled', count)
  };
  return words[state]();
}

function StateBar(props: { tasks: TaskCounts; total: number }): ReactElement {
  const { tasks, total } = props;
  const looks = BAR_ORDER.map(state => STATES.find(look => look.state === state)!);
  const words = STATES.map(
    look => `${tasks[look.state]} ${stateWord(look, tasks[look.state])}`
  ).join(', ');
  return (
    <div className="nbray-bar" role="img" aria-label={total === 0 ? t('no tasks yet') : words}>
      {looks
        .filter(look => tasks[look.state] > 0)
        .map(look => (
          <span
            key={look.state}
            title={`${formatCount(tasks[look.state])} ${stateWord(look, tasks[look.state])}`}
            style={{ flexGrow: tasks[look.state] / total, background: `var(${look.color})` }}
          />
        ))}
    </div>
  );
}

function Resources(props: { cluster: ICluster; history: readonly ISample[] }): ReactElement {
  const { cluster, history } = props;
  const { cpus_used, cpus_total, gpus_used, gpus_total, store_used, store_capacity } = cluster;
  const inUse = (used: number, total: number): string =>
    t('%1 of %2 in use', formatAmount(used), formatAmount(total));
  return (
    <section className="nbray-card" aria-label={t('Resources in use')}>
      <Meter
        id="CPU"
        name={t('CPU')}
        words={inUse(cpus_used, cpus_total)}
        used={cpus_used}
        total={cpus_total}
        history={history}
        value={sample => sample.cpus}
        color="--nbray-run"
      />
      {gpus_total > 0 && (
        <Meter
          id="GPU"
          name={t('GPU')}
          words={inUse(gpus_used, gpus_total)}
          used={gpus_used}
          total={gpus_total}
          history={history}
          value={sample => sample.gpus}
          color="--nbray-gpu"
        />
      )}
      <Meter
        id="Object store"
        name={t('Object store')}
        words={formatBytesOf(store_used, store_capacity)}
        used={store_used}
        total={store_capacity}
        history={history}
        value={sample => sample.store}
        color="--nbray-store"
      />
      <div className="nbray-axis" aria-hidden="true">
        <span>{t('60 s ago')}</span>
        <span>{t('now')}</span>
      </div>
      <p className="nbray-facts">
        <Fact count={cluster.workers} noun="worker" />
        <Fact count={cluster.actors} noun="actor" />
        <Fact count={cluster.nodes} noun="node" />
      </p>
    </section>
  );
}

/** How much of a resource is in use, now and in the last minute. */
function Meter(props: {
  id: string;
  name: string;
  words: string;
  used: number;
  total: number;
  history: readonly ISample[];
  value: (sample: ISample) => number;
  color: string;
}): ReactElement {
  const { used, total, history, value, color } = props;
  const percent = total > 0 ? Math.round(100 * Math.min(1, used / total)) : 0;
  return (
    <div className="nbray-meter">
      <span className="nbray-meter-name">{props.name}</span>
      <span className="nbray-number" data-meter={props.id}>
        {props.words}
      </span>
      <span className="nbray-dim nbray-number">{percent} %</span>
      <Line history={history} value={value} top={total} color={color} />
    </div>
  );
}

function Fact(props: { count: number; noun: Noun }): ReactElement {
  return (
    <span data-fact={props.noun}>
      <b className="nbray-number">{formatCount(props.count)}</b> {nounFor(props.count, props.noun)}
    </span>
  );
}

function Empty(props: { model: IClusterModel }): ReactElement {
  const { model } = props;
  // A kernel that cannot be reached may have a cluster by now, or be gone.
  const words = emptyWords(model.isConnected || model.status !== 'live' ? model.status : 'lost');
  const cell = words.cell;
  return (
    <div className="nbray-empty" data-status={model.status}>
      <div className="nbray-empty-shapes" aria-hidden="true">
        {STATES.map(look => (
          <StateShape key={look.state} look={look} />
        ))}
      </div>
      <p>{words.sentence}</p>
      {words.more && <p className="nbray-dim">{words.more}</p>}
      {cell !== undefined && model.canInsertCell && (
        <button className="jp-mod-styled jp-mod-accept" onClick={() => model.insertCell(cell)}>
          {words.button}
        </button>
      )}
      {words.back !== undefined && (
        <button className="jp-mod-styled" onClick={() => model.followCluster(null)}>
          {words.back}
        </button>
      )}
      {words.starts !== undefined && model.canInsertCell && (
        <button
          className="jp-mod-styled"
          onClick={() => model.insertCell('import nbray\nnbray.init()', true)}
        >
          {words.starts}
        </button>
      )}
    </div>
  );
}
