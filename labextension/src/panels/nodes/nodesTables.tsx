/** Nodes, workers and placement groups as tables. */
import type { ReactElement } from 'react';
import { plainCell, type ICell } from '../../graph/cellContent.js';
import type { IColumnWidth } from '../../graph/columnWidths.js';
import { readNodes, type INode, type IPlacementGroup, type IWorker } from '../../model/answers.js';
import { formatAmount, formatBytes, formatBytesOf } from '../../graph/format.js';
import { stateName } from '../../model/stateNames.js';
import { RowTable, type IColumn } from '../rowTable.js';
import { compare } from '../../graph/order.js';
import { workerName } from '../../graph/workerNames.js';
import { useAnswer } from '../useAnswer.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';

const EVERY_MS = 2_000;

/** What the tab Nodes has below the curves. */
export function NodesTables(props: { model: IClusterModel; query: string }): ReactElement {
  const { model, query } = props;
  const { value, error } = useAnswer(model, 'nodes', {}, readNodes, EVERY_MS);
  const asking = error === '' ? t('Asking the cluster.') : '';
  return (
    <>
      {error !== '' && <p className="nbray-problem">{error}</p>}
      <h3>{t('Nodes')}</h3>
      <RowTable
        label={t('Nodes')}
        empty={value === null ? asking : t('No nodes.')}
        rows={value?.nodes ?? []}
        columns={nodeColumns(value?.nodes ?? [])}
        id={node => node.id}
        query={query}
      />
      <h3>{t('Workers')}</h3>
      <RowTable
        label={t('Workers')}
        empty={value === null ? asking : t('No processes.')}
        rows={byName(model, value?.workers ?? [])}
        columns={workerColumns(model)}
        id={worker => worker.peer}
        query={query}
      />
      {value !== null && value.groups.length > 0 && (
        <>
          <h3>{t('Placement groups')}</h3>
          <RowTable
            label={t('Placement groups')}
            empty=""
            rows={value.groups}
            columns={groupColumns()}
            id={group => group.id}
            query={query}
          />
        </>
      )}
    </>
  );
}

function amountWords(name: string, amount: number): string {
  return name.endsWith('memory') ? formatBytes(amount) : formatAmount(amount);
}

/** `1 of 4`, `16 of 17 GB`: what no task has asked for, whatever is in use. */
function freeWords(node: INode, name: string): string {
  const [free, total] = [node.free[name] ?? 0, node.total[name] ?? 0];
  return name.endsWith('memory')
    ? formatBytesOf(free, total)
    : t('%1 of %2', formatAmount(free), formatAmount(total));
}

/** Resources that have a column of their own, as far as any node has them. */
const OWN_COLUMNS = ['CPU', 'GPU', 'memory', 'object_store_memory'];

function nodeColumns(nodes: readonly INode[]): readonly IColumn<INode>[] {
  const free = (resource: string, name: string): IColumn<INode>[] =>
    nodes.some(node => resource in node.total)
      ? [
          {
            name,
            key: node => node.free[resource] ?? 0,
            find: null,
            show: node => (resource in node.total ? freeWords(node, resource) : '-'),
            width: { least: 56, share: 0.8 },
            isNumber: true
          }
        ]
      : [];
  const others = (node: INode): string =>
    Object.keys(node.total)
      .filter(name => !OWN_COLUMNS.includes(name))
      .map(name => `${freeWords(node, name)} ${name}`)
      .join(' · ');
  return [
    { name: t('node'), key: node => node.name, width: { least: 72, share: 1 } },
    { name: t('state'), key: node => stateName(node.state), width: { least: 50 } },
    ...free('CPU', t('CPU free')),
    ...free('GPU', t('GPU free')),
    ...free('memory', t('memory free')).map(roomier({ least: 92, share: 1 }, 'tight')),
    ...free('object_store_memory', t('store free')).map(roomier({ least: 92, share: 1 }, true)),
    ...(nodes.some(node => others(node) !== '')
      ? [{ name: t('other free'), key: others, width: { least: 90, share: 1.5 }, extra: true }]
      : [])
  ];
}

function roomier<R>(
  width: IColumnWidth,
  extra: boolean | 'tight'
): (column: IColumn<R>) => IColumn<R> {
  return column => ({ ...column, width, extra });
}

function workerColumns(model: IClusterModel): readonly IColumn<IWorker>[] {
  return [
    { name: t('name'), key: worker => processName(model, worker), width: { least: 66, share: 1 } },
    { name: t('pid'), key: worker => worker.pid, width: { least: 50 }, extra: true },
    {
      name: t('state'),
      key: worker => stateName(worker.state),
      width: { least: 46, share: 1 },
      extra: 'tight'
    },
    {
      name: t('runs'),
      key: worker => runsWords(model, worker),
      show: (worker, isTight) => runs(runsWords(model, worker), worker.state, isTight),
      width: { least: 54, share: 1.5 }
    },
    {
      name: t('holds'),
      key: worker =>
        Object.entries(worker.resources)
          .map(([name, amount]) => `${amountWords(name, amount)} ${name}`)
          .join(', '),
      width: { least: 44, share: 1.5 }
    },
    {
      name: t('waits for'),
      key: worker => worker.waits,
      width: { least: 46, share: 1 },
      extra: 'tight'
    }
  ];
}

/** As its lane in the timeline is called; a worker that has run nothing yet has no number. */
function processName(model: IClusterModel, { peer, actor, role }: IWorker): string {
  const worker = model.tasks.workers.indexOf(peer);
  return actor || (worker >= 0 && role === 'worker' ? workerName(worker) : role);
}

/** In the order of their names, those without a number last. */
function byName(model: IClusterModel, workers: readonly IWorker[]): IWorker[] {
  const named = workers.map(worker => ({ worker, name: processName(model, worker) }));
  named.sort(
    (a, b) => Number(a.name === 'worker') - Number(b.name === 'worker') || compare(a.name, b.name)
  );
  return named.map(({ worker }) => worker);
}

/** What it runs; where there is no room for its state, that it is idle. */
function runs(words: string, state: string, isTight: boolean): ICell {
  return isTight && words === '' && state === 'idle'
    ? { pieces: [{ kind: 'text', text: stateName(state), isDim: true }] }
    : plainCell(words);
}

/** The task that it runs now. */
function runsWords(model: IClusterModel, { task }: IWorker): string {
  const store = model.tasks;
  return task !== null && task < store.count ? store.title(task) : '';
}

function groupColumns(): readonly IColumn<IPlacementGroup>[] {
  return [
    {
      name: t('group'),
      key: group => group.name || group.id.slice(0, 12),
      width: { least: 60, share: 1 }
    },
    { name: t('state'), key: group => stateName(group.state), width: { least: 62 } },
    {
      name: t('placed'),
      key: group => group.placed,
      show: group => t('%1 of %2', group.placed, group.bundles.length),
      width: { least: 52 }
    },
    { name: t('bundles'), key: group => group.bundles.join(' '), width: { least: 80, share: 3 } }
  ];
}
