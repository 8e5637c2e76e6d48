/** Provides the model: looks which notebook or console is in front and follows its kernel. */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IConsoleTracker, type ConsolePanel } from '@jupyterlab/console';
import { INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { CellLinks } from '../model/cellLinks.js';
import { CellMemory } from '../model/cellMemory.js';
import { ClusterModel, type IFollowed } from '../model/clusterModel.js';
import { KernelMemory } from '../model/kernelMemory.js';
import { controlChannelSubshells } from '../model/subshells.js';
import { tabStorage } from '../model/tabStorage.js';
import { openSocket } from '../request.js';
import { IClusterModel } from '../tokens.js';

export const modelPlugin: JupyterFrontEndPlugin<IClusterModel> = {
  id: 'nbray-labextension:model',
  description: 'Follows the notebook or console in front and holds what its cluster is doing.',
  autoStart: true,
  provides: IClusterModel,
  optional: [INotebookTracker, IConsoleTracker],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker | null,
    consoles: IConsoleTracker | null
  ): IClusterModel => {
    const model = new ClusterModel({
      memory: new KernelMemory(tabStorage()),
      subshells: controlChannelSubshells,
      commConnection: kernel => commConnection(kernel, notebooks, consoles),
      openFeed: name => openSocket(app.serviceManager.serverSettings, `clusters/${name}/feed`)
    });
    window.addEventListener('pagehide', () => model.dispose());

    let front: NotebookPanel | ConsolePanel | null = null;
    const look = (): void => {
      const current = app.shell.currentWidget;
      let next = front !== null && !front.isDisposed ? front : null;
      if (current !== null && notebooks?.has(current)) {
        next = current as NotebookPanel;
      } else if (current !== null && consoles?.has(current)) {
        next = current as ConsolePanel;
      }
      next ??= notebooks?.currentWidget ?? consoles?.currentWidget ?? null;
      if (next !== front) {
        front = next;
        front?.disposed.connect(look);
        model.follow(front === null ? null : followed(front, notebooks));
      }
    };
    app.shell.currentChanged?.connect(look);
    notebooks?.currentChanged.connect(look);
    consoles?.currentChanged.connect(look);
    void app.restored.then(look);
    return model;
  }
};

const cellMemory = new CellMemory(tabStorage());

/** The runs of cells, remembered as long as their notebook or console is open. */
const linksOf = new WeakMap<NotebookPanel | ConsolePanel, CellLinks>();

/** What the model needs to know of a notebook or console. */
function followed(
  panel: NotebookPanel | ConsolePanel,
  notebooks: INotebookTracker | null
): IFollowed {
  const isNotebook = notebooks?.has(panel) ?? false;
  let links = linksOf.get(panel);
  if (links === undefined) {
    const notebook = isNotebook ? (panel as NotebookPanel) : null;
    links = new CellLinks(panel.sessionContext, notebook, cellMemory);
    linksOf.set(panel, links);
  }
  const cells = links;
  return {
    kind: isNotebook ? 'notebook' : 'console',
    name: () => panel.title.label,
    sessionContext: panel.sessionContext,
    cellOf: origin => cells.cellOf(origin),
    cellNumbered: number => cells.cellNumbered(number),
    runOf: cellId => cells.runOf(cellId),
    learn: known => cells.learn(known),
    cellRuns: () => cells.runs,
    cellEnded: cells.ended,
    insertCell: (text, run) =>
      isNotebook
        ? insertCell(panel as NotebookPanel, text, run)
        : insertIntoConsole(panel as ConsolePanel, text, run)
  };
}

function insertCell(panel: NotebookPanel, text: string, run: boolean): void {
  const notebook = panel.content;
  const active = notebook.activeCell;
  if (active?.model.type !== 'code' || active.model.sharedModel.source.trim() !== '') {
    NotebookActions.insertBelow(notebook);
    NotebookActions.changeCellType(notebook, 'code');
  }
  notebook.activeCell?.model.sharedModel.setSource(text);
  notebook.activate();
  if (run) {
    void NotebookActions.runAndAdvance(notebook, panel.sessionContext);
    return;
  }
  notebook.mode = 'edit';
  const editor = notebook.activeCell?.editor;
  const lines = text.split('\n');
  editor?.setCursorPosition({ line: lines.length - 1, column: lines.at(-1)!.length });
}

/** Run a text in a console, or put it where the next one is written. */
function insertIntoConsole(panel: ConsolePanel, text: string, run: boolean): void {
  if (run) {
    void panel.console.inject(text);
    return;
  }
  panel.console.promptCell?.model.sharedModel.setSource(text);
  panel.activate();
}

/** Of all connections that this page has to the kernel, the one that may use comms. */
function commConnection(
  kernel: Kernel.IKernelConnection,
  notebooks: INotebookTracker | null,
  consoles: IConsoleTracker | null
): Kernel.IKernelConnection | null {
  if (kernel.handleComms) {
    return kernel;
  }
  let found: Kernel.IKernelConnection | null = null;
  const check = (panel: NotebookPanel | ConsolePanel): void => {
    const other = panel.sessionContext.session?.kernel;
    if (other && other.id === kernel.id && other.handleComms) {
      found = other;
    }
  };
  notebooks?.forEach(check);
  consoles?.forEach(check);
  return found;
}
