/** The clusters of the server: their list at the left side, and the commands that start, stop and join them. */
import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import {
  Dialog,
  ICommandPalette,
  InputDialog,
  showDialog,
  showErrorMessage
} from '@jupyterlab/apputils';
import { CommandIDs } from '../commands.js';
import { readClusters, type IClusterRow } from '../model/clusterList.js';
import { ClustersPanel } from '../panels/clusters/index.js';
import type { INewCluster } from '../panels/clusters/body.js';
import { ask, openSocket } from '../request.js';
import { t } from '../text.js';
import { IClusterModel } from '../tokens.js';
import { INbraySettings } from './settings.js';

/** Behind JupyterLab's own widgets of the left side. */
const RANK = 700;

export const clustersPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbray-labextension:clusters',
  description: 'The clusters of this server: a list, and how to start, stop and join them.',
  autoStart: true,
  requires: [IClusterModel, INbraySettings],
  optional: [ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    model: IClusterModel,
    _: INbraySettings,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ): void => {
    const { commands, shell } = app;
    const server = app.serviceManager.serverSettings;
    const list = async (): Promise<IClusterRow[]> => readClusters(await ask(server, 'clusters'));

    const start = async (wanted: INewCluster): Promise<void> => {
      try {
        await ask(server, 'clusters', { method: 'POST', body: JSON.stringify(wanted) });
      } catch (reason) {
        await showErrorMessage(t('No cluster was started'), String((reason as Error).message));
      }
    };
    const stop = async (row: IClusterRow): Promise<void> => {
      const body = row.ownedByDriver
        ? t(
            'A notebook or program began %1 and goes on without it: its tasks, actors and objects are lost.',
            row.name
          )
        : t('The tasks, actors and objects of %1 are lost.', row.name);
      const buttons = [Dialog.cancelButton(), Dialog.warnButton({ label: t('Stop') })];
      const answer = await showDialog({ title: t('Stop this cluster?'), body, buttons });
      if (answer.button.accept) {
        try {
          await ask(server, `clusters/${row.name}`, { method: 'DELETE' });
        } catch (reason) {
          await showErrorMessage(
            t('The cluster was not stopped'),
            String((reason as Error).message)
          );
        }
      }
    };
    /** The cluster of this name, else the one that the person picks; undefined: none. */
    const choose = async (
      name: unknown,
      title: string,
      nothing: string
    ): Promise<IClusterRow | undefined> => {
      const rows = await list();
      if (rows.length === 0) {
        await showErrorMessage(nothing, t('No cluster is running.'));
        return undefined;
      }
      const named = rows.find(row => row.name === name);
      if (named !== undefined) {
        return named;
      }
      const picked = await InputDialog.getItem({ title, items: rows.map(row => row.name) });
      return rows.find(row => row.name === picked.value);
    };
    const scale = async (row: IClusterRow): Promise<void> => {
      const answer = await InputDialog.getNumber({
        title: t('How many CPUs is the cluster to offer?'),
        label: t('So many tasks of one CPU run side by side. What runs now goes on.'),
        value: row.figures?.cpus_total,
        okLabel: t('Scale')
      });
      if (answer.button.accept && answer.value !== null) {
        try {
          await ask(server, `clusters/${row.name}`, {
            method: 'PATCH',
            body: JSON.stringify({ num_cpus: answer.value })
          });
        } catch (reason) {
          await showErrorMessage(
            t('The cluster was not scaled'),
            String((reason as Error).message)
          );
        }
      }
    };
    const join = (address: string | null): boolean => {
      const load = model.status === 'no-nbray' ? '%load_ext nbray\n' : '';
      const argument = address === null ? '' : `address=${JSON.stringify(address)}`;
      return model.insertCell(`${load}import nbray\nnbray.init(${argument})`, true);
    };

    const panel = new ClustersPanel({
      model,
      open: () => openSocket(server, 'clusters/feed'),
      actions: {
        start,
        stop,
        scale,
        connect: row => void join(row.address),
        show: row => {
          model.followCluster(row?.name ?? null);
          if (row !== null) {
            void commands.execute(CommandIDs.openPanel);
          }
        }
      }
    });
    shell.add(panel, 'left', { rank: RANK, type: 'nbray' });
    restorer?.add(panel, panel.id);

    commands.addCommand(CommandIDs.startCluster, {
      label: args =>
        args['where'] === 'notebook' ? t('Start a Cluster in This Notebook') : t('Start a Cluster'),
      caption: t('Start a cluster on the machine of the server; it runs until it is stopped'),
      isEnabled: args => args['where'] !== 'notebook' || model.canInsertCell,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            where: { type: 'string', enum: ['server', 'notebook'] },
            num_cpus: { type: 'number' },
            num_gpus: { type: 'number' },
            object_store_memory: { type: 'number' }
          }
        }
      },
      execute: async args => {
        if (args['where'] === 'notebook') {
          join(null);
          return;
        }
        const wanted: Record<string, unknown> = {};
        for (const name of ['num_cpus', 'num_gpus', 'object_store_memory']) {
          if (typeof args[name] === 'number') {
            wanted[name] = args[name];
          }
        }
        await start(wanted);
        shell.activateById(panel.id);
      }
    });
    commands.addCommand(CommandIDs.stopCluster, {
      label: t('Stop a Cluster…'),
      caption: t('Stop a cluster of this server'),
      describedBy: { args: { type: 'object', properties: { name: { type: 'string' } } } },
      execute: async args => {
        const row = await choose(args['name'], t('Stop which cluster?'), t('Nothing to stop'));
        if (row !== undefined) {
          await stop(row);
        }
      }
    });
    commands.addCommand(CommandIDs.scaleCluster, {
      label: t('Scale a Cluster…'),
      caption: t('Change how many CPUs a cluster of this server offers'),
      describedBy: { args: { type: 'object', properties: { name: { type: 'string' } } } },
      execute: async args => {
        const row = await choose(args['name'], t('Scale which cluster?'), t('Nothing to scale'));
        if (row !== undefined) {
          await scale(row);
        }
      }
    });
    commands.addCommand(CommandIDs.connectCluster, {
      label: t('Connect This Notebook to a Cluster…'),
      caption: t('Put a cell into the notebook in front that joins a cluster, and run it'),
      isEnabled: () => model.canInsertCell,
      describedBy: { args: { type: 'object', properties: { address: { type: 'string' } } } },
      execute: async args => {
        let address = typeof args['address'] === 'string' ? args['address'] : null;
        if (address === null) {
          const rows = await list();
          const picked = await InputDialog.getItem({
            title: t('Connect to which cluster?'),
            items: rows.map(row => row.address)
          });
          address = picked.value;
        }
        if (address !== null) {
          join(address);
        }
      }
    });
    for (const command of [
      CommandIDs.startCluster,
      CommandIDs.stopCluster,
      CommandIDs.scaleCluster,
      CommandIDs.connectCluster
    ]) {
      palette?.addItem({ command, category: 'nbray' });
    }
    palette?.addItem({
      command: CommandIDs.startCluster,
      category: 'nbray',
      args: { where: 'notebook' }
    });
  }
};
