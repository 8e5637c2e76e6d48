/** Puts the panel beside the notebook, and its commands into the palette. */
import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { CommandIDs } from '../commands.js';
import { nbrayIcon } from '../icons.js';
import { OverviewPanel } from '../panels/overview/index.js';
import { IClusterModel } from '../tokens.js';

/** Behind JupyterLab's own widgets of the right side. */
const RANK = 700;

export const clusterPanelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbray-labextension:panel',
  description: 'The nbray panel: what the cluster of the notebook in front is doing.',
  autoStart: true,
  requires: [IClusterModel],
  optional: [ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    model: IClusterModel,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ): void => {
    const { commands, shell } = app;
    let panel = new OverviewPanel(model);
    shell.add(panel, 'right', { rank: RANK, type: 'nbray' });
    restorer?.add(panel, panel.id);

    commands.addCommand(CommandIDs.openPanel, {
      label: args => (args['area'] === 'main' ? 'Show Cluster in a Tab' : 'Show Cluster'),
      caption: 'What the cluster of the notebook in front is doing',
      icon: nbrayIcon,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            area: {
              type: 'string',
              enum: ['right', 'main'],
              description: 'Beside the notebook (default) or in a tab of its own'
            }
          }
        }
      },
      execute: args => {
        const area = args['area'] === 'main' ? 'main' : 'right';
        if (panel.isDisposed) {
          panel = new OverviewPanel(model); // its tab was closed
        }
        if (!Array.from(shell.widgets(area)).includes(panel)) {
          // A tab needs a word; the side bar shows the icon alone.
          panel.title.label = area === 'main' ? 'Cluster' : '';
          const mode = area === 'main' ? 'split-right' : undefined; // beside the notebook
          shell.add(panel, area, { rank: RANK, type: 'nbray', mode });
        }
        shell.activateById(panel.id);
      }
    });
    const category = 'nbray';
    palette?.addItem({ command: CommandIDs.openPanel, category });
    palette?.addItem({ command: CommandIDs.openPanel, category, args: { area: 'main' } });
  }
};
