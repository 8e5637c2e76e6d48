/** The line in the status bar, as a widget. */
import { ReactWidget } from '@jupyterlab/ui-components';
import { Signal, type ISignal } from '@lumino/signaling';
import type { ReactElement } from 'react';
import { formatCount } from '../graph/format.js';
import { STATES, stateWord } from '../graph/states.js';
import { StateShape } from './shapes.js';
import { t } from '../text.js';
import type { IClusterModel, TaskState } from '../tokens.js';

/** The states worth a place there, when a task is in them; `RUNNING` always is. */
const SHOWN: readonly TaskState[] = [
  'PENDING_ARGS_AVAIL',
  'PENDING_NODE_ASSIGNMENT',
  'RUNNING',
  'FAILED'
];

/** Counts with shapes; a click opens the panel. */
export class StatusItem extends ReactWidget {
  constructor(model: IClusterModel, open: () => void) {
    super();
    this._model = model;
    this._open = open;
    this.addClass('nbray-status');
    model.changed.connect(this._onChanged, this);
  }

  /** Emitted when there is a cluster to tell of, and when there is none any more. */
  get shownChanged(): ISignal<this, void> {
    return this._shownChanged;
  }

  override dispose(): void {
    this._model.changed.disconnect(this._onChanged, this);
    super.dispose();
  }

  protected override render(): ReactElement {
    const tasks = this._model.counts;
    const looks = STATES.filter(
      ({ state }) => SHOWN.includes(state) && tasks && (tasks[state] > 0 || state === 'RUNNING')
    );
    const words = looks.map(
      look => `${formatCount(tasks![look.state])} ${stateWord(look, tasks![look.state])}`
    );
    return (
      <button
        className="nbray-status-button"
        title={t('nbray: %1. Show the cluster', words.join(', '))}
        onClick={() => this._open()}
      >
        nbray
        {looks.map(look => (
          <span key={look.state} data-state={look.state}>
            <StateShape look={look} /> {formatCount(tasks![look.state])}
          </span>
        ))}
      </button>
    );
  }

  private _onChanged(): void {
    const shown = this._model.cluster !== null;
    if (shown !== this._shown) {
      this._shown = shown;
      this._shownChanged.emit();
    }
    if (shown) {
      this.update();
    }
  }

  private readonly _model: IClusterModel;
  private readonly _open: () => void;
  private readonly _shownChanged = new Signal<this, void>(this);
  private _shown = false;
}
