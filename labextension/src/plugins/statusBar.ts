/** A short line in the status bar: what runs, waits and failed in the cluster of the notebook in front. */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { CommandIDs } from '../commands.js';
import { StatusItem } from '../panels/statusItem.js';
import { IClusterModel } from '../tokens.js';

export const statusBarPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbray-labextension:status',
  description: 'What runs, waits and failed, in the status bar.',
  autoStart: true,
  requires: [IClusterModel],
  optional: [IStatusBar],
  activate: (app: JupyterFrontEnd, model: IClusterModel, statusBar: IStatusBar | null): void => {
    if (statusBar === null) {
      return;
    }
    const item = new StatusItem(model, () => void app.commands.execute(CommandIDs.openPanel));
    statusBar.registerStatusItem('nbray-labextension:status', {
      item,
      align: 'left',
      rank: 20,
      isActive: () => model.cluster !== null,
      activeStateChanged: item.shownChanged
    });
  }
};
