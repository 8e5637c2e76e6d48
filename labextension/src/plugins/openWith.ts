/** Opens the panel by itself: with a notebook that asks for it, and, where a person has set so, with the cluster. */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { CommandIDs } from '../commands.js';
import { asksForPanel } from '../model/notebookWishes.js';
import { tabStorage } from '../model/tabStorage.js';
import { IClusterModel } from '../tokens.js';
import { INbraySettings } from './settings.js';

/** Notebooks with which the panel was opened in this tab of the browser: who has closed it is left alone. */
const KEY = 'nbray:opened-with';

export const openWithPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbray-labextension:open-with',
  description: 'Opens the panel with a notebook that asks for it, or with the cluster.',
  autoStart: true,
  requires: [IClusterModel, INbraySettings],
  optional: [INotebookTracker],
  activate: (
    { commands, restored }: JupyterFrontEnd,
    model: IClusterModel,
    settings: INbraySettings,
    notebooks: INotebookTracker | null
  ): void => {
    let had = false;
    model.changed.connect(() => {
      const has = model.cluster !== null;
      if (has && !had && settings.openWithCluster) {
        void commands.execute(CommandIDs.openPanel);
      }
      had = has;
    });

    const look = async (panel: NotebookPanel | null): Promise<void> => {
      if (panel === null) {
        return;
      }
      await Promise.all([restored, panel.context.ready]);
      const isFirst = (): boolean => !opened().includes(panel.context.path);
      const wishes: unknown = panel.isDisposed ? null : panel.model?.getMetadata('nbray');
      if (notebooks?.currentWidget === panel && asksForPanel(wishes) && isFirst()) {
        remember(panel.context.path);
        await commands.execute(CommandIDs.openPanel);
      }
    };
    notebooks?.currentChanged.connect((_, panel) => void look(panel));
    void look(notebooks?.currentWidget ?? null);
  }
};

function opened(): string[] {
  try {
    const known: unknown = JSON.parse(tabStorage()?.getItem(KEY) ?? '[]');
    return Array.isArray(known) ? known.map(String) : [];
  } catch {
    return [];
  }
}

function remember(path: string): void {
  try {
    tabStorage()?.setItem(KEY, JSON.stringify([...opened(), path]));
  } catch {
    // A full storage: it opens once more after a reload.
  }
}
