/** Puts the panel beside the notebook, and its commands into the palette. */
import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { Menu } from '@lumino/widgets';
import { CommandIDs } from '../commands.js';
import { nbrayIcon } from '../icons.js';
import { OverviewPanel } from '../panels/overview/index.js';
import { t } from '../text.js';
import { IClusterModel } from '../tokens.js';
import { areaIn, keepOverReload, placeFor, type Area } from './panelPlace.js';
import { INbraySettings } from './settings.js';

/** Behind JupyterLab's own widgets of the right side. */
const RANK = 700;

export const clusterPanelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbray-labextension:panel',
  description: 'The nbray panel: what the cluster of the notebook in front is doing.',
  autoStart: true,
  requires: [IClusterModel, INbraySettings],
  optional: [ICommandPalette, ILayoutRestorer, ILauncher, ILabShell],
  activate: (
    app: JupyterFrontEnd,
    model: IClusterModel,
    settings: INbraySettings,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    launcher: ILauncher | null,
    labShell: ILabShell | null
  ): void => {
    const { commands, shell } = app;
    const exports = new Menu({ commands });
    for (const command of [
      CommandIDs.exportGraph,
      CommandIDs.exportReport,
      CommandIDs.exportTrace
    ]) {
      exports.addItem({ command });
      if (command === CommandIDs.exportGraph) {
        exports.addItem({ command, args: { format: 'png' } });
      }
    }
    exports.addItem({ type: 'separator' });
    exports.addItem({ command: CommandIDs.copyAsCode });
    let before: Element | null = null;
    const menu = (x: number, y: number): void => {
      before = document.activeElement;
      exports.open(x, y);
    };
    exports.aboutToClose.connect(() => {
      // The keyboard goes on where it was, unless it has gone elsewhere already.
      requestAnimationFrame(() => {
        if (before instanceof HTMLElement && document.activeElement === document.body) {
          before.focus();
        }
      });
    });
    let panel = new OverviewPanel(model, menu);
    shell.add(panel, 'right', { rank: RANK, type: 'nbray' });
    restorer?.add(panel, panel.id);
    /** Where it was put last; null: where JupyterLab has put it. */
    let shown: Area | null = null;
    const show = (wanted: Area): void => {
      const { area, mode } = placeFor(wanted, labShell !== null);
      if (panel.isDisposed) {
        panel = new OverviewPanel(model, menu); // its tab was closed
      }
      const elsewhere = shown !== null && wanted !== shown;
      if (elsewhere || !Array.from(shell.widgets(area)).includes(panel)) {
        // A tab needs a word; the side bar shows the icon alone.
        panel.title.label = area === 'right' ? '' : t('Cluster');
        panel.toggleClass('nbray-mod-down', area === 'down');
        shell.add(panel, area, { rank: RANK, type: 'nbray', mode });
      }
      shown = wanted;
      shell.activateById(panel.id);
    };
    void app.restored.then(() => {
      if (restorer === null) {
        keepOverReload(() => (panel.isVisible ? (shown ?? 'right') : null), show);
      } else if (Array.from(shell.widgets('main')).includes(panel)) {
        panel.title.label = t('Cluster'); // JupyterLab has put it where it was before a reload
      }
    });

    settings.areaChanged.connect((_, area) => {
      if (panel.isVisible) {
        show(area);
      }
    });

    commands.addCommand(CommandIDs.openPanel, {
      label: args =>
        args['launcher'] === true
          ? 'nbray'
          : args['area'] === 'main'
            ? t('Show Cluster in a Tab')
            : args['area'] === 'below'
              ? t('Show Cluster Below the Notebook')
              : t('Show Cluster'),
      caption: t('What the cluster of the notebook in front is doing'),
      icon: nbrayIcon,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            area: {
              type: 'string',
              enum: ['right', 'main', 'below'],
              description:
                'At the right side, in a tab beside the notebook, or below it; default: as set'
            }
          }
        }
      },
      execute: args => show(areaIn(args['area']) ?? settings.area)
    });
    const category = 'nbray';
    palette?.addItem({ command: CommandIDs.openPanel, category });
    if (labShell !== null) {
      palette?.addItem({ command: CommandIDs.openPanel, category, args: { area: 'main' } });
    }
    palette?.addItem({ command: CommandIDs.openPanel, category, args: { area: 'below' } });
    launcher?.add({
      command: CommandIDs.openPanel,
      category: t('Other'),
      rank: RANK,
      args: { area: 'main', launcher: true }
    });
  }
};
