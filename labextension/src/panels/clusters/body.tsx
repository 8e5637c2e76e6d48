/** What the list of clusters shows: a form that starts one, and a card for each. */
import { useState, type FormEvent, type ReactElement } from 'react';
import type { IClusterRow, INodeNow } from '../../model/clusterList.js';
import { formatAmount, formatBytesOf, formatNoun } from '../../graph/format.js';
import { REMOTE, t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

/** What can be asked of a new cluster; what is left out is the machine's. */
export interface INewCluster {
  num_cpus?: number;
  num_gpus?: number;
  object_store_memory?: number;
}

/** What a person can do here. */
export interface IClusterActions {
  start(wanted: INewCluster): Promise<void>;
  stop(row: IClusterRow): Promise<void>;
  scale(row: IClusterRow): Promise<void>;
  connect(row: IClusterRow): void;
  show(row: IClusterRow | null): void;
}

const GIB = 1024 ** 3;

/** The whole list. */
export function ClusterList(props: {
  model: IClusterModel;
  rows: readonly IClusterRow[] | null;
  error: string;
  actions: IClusterActions;
}): ReactElement {
  const { model, rows, error, actions } = props;
  const followed = model.subject?.kind === 'cluster' ? model.subject.name : null;
  return (
    <div className="nbray-clusters-body" role="region" aria-label={t('nbray clusters')}>
      <header className="nbray-clusters-head">{t('Clusters')}</header>
      <StartForm start={actions.start} />
      {error !== '' && <p className="nbray-dim">{error}</p>}
      {rows === null && error === '' && <p className="nbray-dim">{t('Asking the server.')}</p>}
      {rows?.length === 0 && (
        <p className="nbray-dim">
          {t(
            'No cluster is running. A notebook starts one of its own with its first %1 cell.',
            REMOTE
          )}
        </p>
      )}
      <ul className="nbray-cluster-list">
        {rows?.map(row => (
          <Card
            key={row.name}
            row={row}
            followed={followed === row.name}
            canConnect={model.canInsertCell}
            actions={actions}
          />
        ))}
      </ul>
    </div>
  );
}

function StartForm(props: { start: IClusterActions['start'] }): ReactElement {
  const [cpus, setCpus] = useState('');
  const [gpus, setGpus] = useState('');
  const [store, setStore] = useState('');
  const [starting, setStarting] = useState(false);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const wanted: INewCluster = {
      ...(cpus !== '' && { num_cpus: Number(cpus) }),
      ...(gpus !== '' && { num_gpus: Number(gpus) }),
      ...(store !== '' && { object_store_memory: Math.round(Number(store) * GIB) })
    };
    setStarting(true);
    void props.start(wanted).finally(() => setStarting(false));
  };
  const field = (
    label: string,
    hint: string,
    value: string,
    set: (value: string) => void
  ): ReactElement => (
    <label>
      <span>{label}</span>
      <input
        className="jp-mod-styled"
        type="number"
        min={0}
        step="any"
        placeholder={hint}
        value={value}
        onChange={event => set(event.target.value)}
      />
    </label>
  );
  return (
    <form className="nbray-start" aria-label={t('Start a cluster')} onSubmit={submit}>
      {field(t('CPUs'), t('all'), cpus, setCpus)}
      {field(t('GPUs'), t('all'), gpus, setGpus)}
      {field(t('Store, GiB'), t('auto'), store, setStore)}
      <button className="jp-mod-styled jp-mod-accept" type="submit" disabled={starting}>
        {starting ? t('Starting…') : t('Start')}
      </button>
    </form>
  );
}

function Card(props: {
  row: IClusterRow;
  followed: boolean;
  canConnect: boolean;
  actions: IClusterActions;
}): ReactElement {
  const { row, followed, canConnect, actions } = props;
  const { figures } = row;
  const time = new Date(row.startedAt * 1000).toLocaleTimeString([], {
    hour: '2-digit',
    minute: '2-digit'
  });
  return (
    <li className="nbray-cluster-card" aria-label={row.name} data-followed={followed}>
      <div className="nbray-cluster-title" title={row.address}>
        <span className="nbray-lamp" data-state={figures === null ? 'silent' : 'running'} />
        <b>{row.ownedByDriver ? t('of a notebook or program') : t('until it is stopped')}</b>
        <span className="nbray-dim">{t('since %1', time)}</span>
        <span className="nbray-dim nbray-cluster-name">{row.name}</span>
      </div>
      {row.error !== '' && <p className="nbray-dim">{row.error}</p>}
      {figures !== null && (
        <dl className="nbray-figures">
          <Figure
            name={t('CPU')}
            words={inUse(figures.cpus_used, figures.cpus_total)}
            share={figures.cpus_used / figures.cpus_total}
            color="--nbray-run"
          />
          {figures.gpus_total > 0 && (
            <Figure
              name={t('GPU')}
              words={inUse(figures.gpus_used, figures.gpus_total)}
              share={figures.gpus_used / figures.gpus_total}
              color="--nbray-gpu"
            />
          )}
          <Figure
            name={t('store')}
            words={formatBytesOf(figures.store_used, figures.store_capacity)}
            share={figures.store_used / figures.store_capacity}
            color="--nbray-store"
          />
          <Figure name={t('workers')} words={formatNoun(figures.workers, 'worker')} />
        </dl>
      )}
      {row.nodes.map((node, n) => (
        <Node key={n} node={node} />
      ))}
      <div className="nbray-cluster-buttons">
        <button
          className="jp-mod-styled"
          disabled={!canConnect}
          title={t('Put a cell into the notebook in front that joins this cluster, and run it')}
          onClick={() => actions.connect(row)}
        >
          {t('Connect notebook')}
        </button>
        <button
          className="jp-mod-styled"
          aria-pressed={followed}
          title={t('Show this cluster in the panel instead of that of the notebook in front')}
          onClick={() => actions.show(followed ? null : row)}
        >
          {followed ? t('Back to the notebook') : t('Show')}
        </button>
        <button
          className="jp-mod-styled"
          disabled={figures === null}
          title={t('Change how many CPUs this cluster offers, and so how many workers run tasks')}
          onClick={() => void actions.scale(row)}
        >
          {t('Scale…')}
        </button>
        <button className="jp-mod-styled" onClick={() => void actions.stop(row)}>
          {t('Stop')}
        </button>
      </div>
    </li>
  );
}

function inUse(used: number, total: number): string {
  return t('%1 of %2 in use', formatAmount(used), formatAmount(total));
}

function Node(props: { node: INodeNow }): ReactElement {
  const { node } = props;
  return (
    <dl className="nbray-figures" aria-label={t('node %1', node.name)}>
      <dt className="nbray-node-name">{node.name}</dt>
      <dd />
      {node.cpu !== null && (
        <Figure
          name={t('busy')}
          words={`${Math.round(node.cpu * 100)} %`}
          share={node.cpu}
          color="--nbray-run"
        />
      )}
      {node.memoryTotal > 0 && (
        <Figure
          name={t('memory')}
          words={formatBytesOf(node.memoryUsed, node.memoryTotal)}
          share={node.memoryUsed / node.memoryTotal}
          color="--nbray-memory"
        />
      )}
      {node.gpus.map(gpu => (
        <Figure
          key={gpu.index}
          name={t('GPU %1', gpu.index)}
          words={`${gpu.busy === null ? '' : `${Math.round(gpu.busy * 100)} % · `}${formatBytesOf(gpu.used, gpu.total)}`}
          share={gpu.busy ?? 0}
          color="--nbray-gpu"
        />
      ))}
    </dl>
  );
}

function Figure(props: {
  name: string;
  words: string;
  share?: number;
  color?: string;
}): ReactElement {
  const { name, words, share, color } = props;
  const width = share === undefined || !Number.isFinite(share) ? 0 : Math.min(1, share);
  return (
    <>
      <dt>{name}</dt>
      <dd className="nbray-number">
        {words}
        {share !== undefined && (
          <span className="nbray-share" aria-hidden="true">
            <span style={{ width: `${100 * width}%`, background: `var(${color})` }} />
          </span>
        )}
      </dd>
    </>
  );
}
