/** Badges at the prompts of a notebook's cells: how many of their tasks run, are done, have failed. */
import type { Cell, ICodeCellModel } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { badgeOf, countByOrigin, type IBadge } from '../model/cellCounts.js';
import { STATES } from '../graph/states.js';
import { t } from '../text.js';
import type { IClusterModel, TaskState } from '../tokens.js';

/** Between two looks at all cells. */
const PERIOD_MS = 250;

/** The shapes of the visual language as characters. */
const GLYPHS: Readonly<Record<TaskState, string>> = {
  PENDING_ARGS_AVAIL: '◌',
  PENDING_NODE_ASSIGNMENT: '○',
  RUNNING: '▶',
  FINISHED: '●',
  FAILED: '✕',
  CANCELLED: '⊘'
};

/** Keeps the badges of the notebook in front up to date. Watches the tasks only while it has a cluster. */
export class Badges {
  constructor(model: IClusterModel, open: (origin: string) => void) {
    this._model = model;
    this._open = open;
    model.changed.connect(this._onChanged, this);
    model.tasksChanged.connect(this.update, this);
  }

  /** Keep the badges of this notebook up to date from now on; null: of none. Those of another stay where all is over. */
  attach(panel: NotebookPanel | null): void {
    if (panel !== this._panel) {
      if (this._panel !== null && !this._panel.isDisposed) {
        leave(this._panel);
      }
      this._panel = panel;
    }
    this._onChanged();
  }

  /** No badges any more. */
  clear(panels: Iterable<NotebookPanel>): void {
    this.attach(null);
    for (const panel of panels) {
      panel.content.widgets.forEach(cell => show(cell, null, () => undefined));
    }
  }

  /** Look at all cells, a little later. */
  update(): void {
    this._timer ??= setTimeout(() => {
      this._timer = undefined;
      this._look();
    }, PERIOD_MS);
  }

  private _onChanged(): void {
    const { cluster, subject } = this._model;
    const wanted = this._panel !== null && cluster !== null && subject?.kind === 'notebook';
    if (wanted && this._unwatch === null) {
      this._unwatch = this._model.watchTasks();
    } else if (!wanted && this._unwatch !== null) {
      this._unwatch();
      this._unwatch = null;
    }
    this.update();
  }

  private _look(): void {
    const panel = this._panel;
    if (panel === null || panel.isDisposed || document.hidden) {
      return;
    }
    // While the panel shows another cluster, the badges stay as they are.
    if (this._model.subject?.kind === 'cluster') {
      return;
    }
    const counts = countByOrigin(this._model.tasks);
    for (const cell of panel.content.widgets) {
      const run = cell.model.type === 'code' ? this._model.runOf(cell.model.id) : null;
      const shown =
        cell.model.type === 'code' ? (cell.model as ICodeCellModel).executionCount : null;
      // A notebook that was read again without having been saved shows an earlier run.
      const isOther = run !== null && (shown === null ? run.isToldOf : shown !== run.number);
      const found = run === null || isOther ? undefined : counts.get(run.origin);
      const badge = found === undefined ? null : badgeOf(found, run!.number);
      show(cell, badge, () => this._open(run!.origin));
    }
  }

  private readonly _model: IClusterModel;
  private readonly _open: (origin: string) => void;
  private _panel: NotebookPanel | null = null;
  private _unwatch: (() => void) | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

/** Of a notebook that is not followed any more, badges of what goes on would be wrong soon. */
function leave(panel: NotebookPanel): void {
  for (const state of ['PENDING_ARGS_AVAIL', 'PENDING_NODE_ASSIGNMENT', 'RUNNING']) {
    panel.node
      .querySelectorAll(`.nbray-badge[data-state='${state}']`)
      .forEach(badge => badge.remove());
  }
}

/** Show a badge at a cell, or none. */
function show(cell: Cell, badge: IBadge | null, open: () => void): void {
  const area = cell.inputArea?.node;
  let button = area?.querySelector<HTMLButtonElement>(':scope > .nbray-badge') ?? null;
  if (area === undefined || badge === null) {
    button?.remove();
    return;
  }
  if (button === null) {
    button = document.createElement('button');
    button.className = 'nbray-badge';
    button.title = t('Show the tasks of this cell in the panel');
    area.append(button);
  }
  button.onclick = open;
  if (button.ariaLabel !== badge.label) {
    const look = STATES.find(({ state }) => state === badge.state)!;
    button.ariaLabel = badge.label;
    button.dataset['state'] = badge.state;
    button.style.setProperty('--nbray-badge', `var(${look.color})`);
    button.textContent = `${GLYPHS[badge.state]} ${badge.text}`;
  }
}
