/** What stands at cells: badges of their tasks at the prompt, and the switch that writes the line `%%remote`. */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, IToolbarWidgetRegistry, showErrorMessage } from '@jupyterlab/apputils';
import type { Cell } from '@jupyterlab/cells';
import { INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import { ToolbarButton } from '@jupyterlab/ui-components';
import { CommandIDs } from '../commands.js';
import { nbrayIcon } from '../icons.js';
import { Badges } from '../panels/cellBadges.js';
import { isRemote, toggleRemote, whyNotRemote } from '../model/remoteLine.js';
import { REMOTE, t } from '../text.js';
import { IClusterModel } from '../tokens.js';
import { INbraySettings } from './settings.js';

export const cellsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbray-labextension:cells',
  description: 'Badges of the tasks at cells, and the switch that writes the line %%remote.',
  autoStart: true,
  requires: [IClusterModel, INbraySettings],
  optional: [INotebookTracker, ICommandPalette, IToolbarWidgetRegistry],
  activate: (
    app: JupyterFrontEnd,
    model: IClusterModel,
    settings: INbraySettings,
    notebooks: INotebookTracker | null,
    palette: ICommandPalette | null,
    toolbars: IToolbarWidgetRegistry | null
  ): void => {
    const { commands } = app;
    commands.addCommand(CommandIDs.showCell, {
      label: t('Show the Cell of the Selected Task'),
      describedBy: { args: { type: 'object', properties: { origin: { type: 'string' } } } },
      execute: args => {
        const origin = typeof args['origin'] === 'string' ? args['origin'] : selectedOrigin(model);
        return origin !== null && model.cellOf(origin)?.show() === true;
      }
    });
    palette?.addItem({ command: CommandIDs.showCell, category: 'nbray' });
    commands.addCommand(CommandIDs.cancelTask, {
      label: t('Cancel the Selected Task'),
      caption: t('Cancel the task that is selected in the panel; one that runs is interrupted'),
      describedBy: { args: { type: 'object', properties: { force: { type: 'boolean' } } } },
      execute: async args => {
        const task = model.selected?.task ?? null;
        try {
          if (task === null) {
            throw new Error(t('No task is selected in the panel.'));
          }
          const { generation } = model.tasks;
          await model.request('cancel', { generation, task, force: args['force'] === true });
        } catch (reason) {
          await showErrorMessage(t('Nothing was cancelled'), (reason as Error).message);
        }
      }
    });
    palette?.addItem({ command: CommandIDs.cancelTask, category: 'nbray' });
    if (notebooks === null) {
      return;
    }

    const activeCell = (): Cell | null => {
      const cell = notebooks.currentWidget?.content.activeCell ?? null;
      return cell?.model.type === 'code' ? cell : null;
    };
    commands.addCommand(CommandIDs.toggleRemote, {
      label: t('Run This Cell on the Cluster (%1)', REMOTE),
      caption: t('Write the line %1 into the active cell, or remove it', REMOTE),
      icon: nbrayIcon,
      isEnabled: () => activeCell() !== null,
      isToggled: () => isRemote(activeCell()?.model.sharedModel.source ?? ''),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: async () => {
        const text = activeCell()?.model.sharedModel;
        const problem = text && whyNotRemote(text.source);
        if (problem) {
          await showErrorMessage(t('No line %1 was written', REMOTE), problem);
        } else if (text) {
          text.setSource(toggleRemote(text.source));
        }
      }
    });
    palette?.addItem({ command: CommandIDs.toggleRemote, category: 'nbray' });

    // Its place in the toolbar stands in the settings' schema, as that of the panel's button.
    toolbars?.addFactory<NotebookPanel>('Notebook', 'nbray-remote', panel => {
      const button = new ToolbarButton({
        className: 'nbray-remote-switch',
        label: '%%remote',
        tooltip: t('Run the active cell on the cluster: writes or removes its line %1', REMOTE),
        onClick: () => void commands.execute(CommandIDs.toggleRemote)
      });
      const content = panel.content;
      const look = (): void => {
        const cell = content.activeCell;
        button.enabled = cell?.model.type === 'code';
        button.pressed = isRemote(cell?.model.sharedModel.source ?? '');
      };
      content.activeCellChanged.connect(look);
      content.modelContentChanged.connect(look);
      look();
      return button;
    });

    const badges = new Badges(model, origin => {
      model.light(origin);
      void commands.execute(CommandIDs.openPanel);
    });
    const follow = (): void => {
      if (settings.cellBadges) {
        badges.attach(notebooks.currentWidget);
      } else {
        const all: NotebookPanel[] = [];
        notebooks.forEach(panel => all.push(panel));
        badges.clear(all);
      }
    };
    settings.changed.connect(follow);
    notebooks.currentChanged.connect(follow);
    NotebookActions.outputCleared.connect(() => badges.update());
    follow();
    // A cell that a person goes to lights up its tasks in the panel.
    notebooks.activeCellChanged.connect((_, cell) => {
      const run = cell === null ? null : model.runOf(cell.model.id);
      model.light(run !== null && hasTasks(model, run.origin) ? run.origin : null);
    });
  }
};

function hasTasks(model: IClusterModel, origin: string): boolean {
  return model.tasks.functions.some(one => one?.origin === origin);
}

function selectedOrigin(model: IClusterModel): string | null {
  const { selected, tasks } = model;
  const group = selected === null ? undefined : tasks.groups[selected.group];
  return group === undefined ? null : (tasks.functions[group.function]?.origin ?? null);
}
