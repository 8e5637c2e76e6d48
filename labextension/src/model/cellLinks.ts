/** Which cell tasks come from: their origin is the id of the message that ran it. */
import type { ISessionContext } from '@jupyterlab/apputils';
import type { Cell, CodeCell } from '@jupyterlab/cells';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import type { KernelMessage } from '@jupyterlab/services';
import type { ICellLink } from '../tokens.js';

/** Runs of cells that are remembered per notebook. */
const MAX_RUNS = 5_000;

/** Remembers the runs of one notebook's (or console's) cells. */
export class CellLinks {
  constructor(sessionContext: ISessionContext, notebook: NotebookPanel | null) {
    this._notebook = notebook;
    sessionContext.iopubMessage.connect(this._onMessage, this);
    if (notebook !== null) {
      NotebookActions.executionScheduled.connect(this._onScheduled, this);
      notebook.disposed.connect(() => {
        NotebookActions.executionScheduled.disconnect(this._onScheduled, this);
      });
    }
  }

  /** The cell behind an origin; null when it did not run here since the page was opened. */
  cellOf(origin: string): ICellLink | null {
    const number = this._numbers.get(origin);
    if (number === undefined) {
      return null;
    }
    return { number, show: () => this._show(origin) };
  }

  /** The cell that ran last under this number; null when none did since the page was opened. */
  cellNumbered(number: number): ICellLink | null {
    let found: ICellLink | null = null;
    for (const [origin, its] of this._numbers) {
      if (its === number) {
        found = this.cellOf(origin);
      }
    }
    return found;
  }

  private _onMessage(_: ISessionContext, message: KernelMessage.IMessage): void {
    if (message.header.msg_type === 'execute_input') {
      const origin = (message.parent_header as KernelMessage.IHeader).msg_id;
      const { execution_count: number } = message.content as { execution_count?: number };
      if (typeof number === 'number') {
        remember(this._numbers, origin, number);
      }
    }
  }

  private _onScheduled(_: unknown, args: { notebook: unknown; cell: Cell }): void {
    if (args.notebook === this._notebook?.content && args.cell.model.type === 'code') {
      const cell = args.cell as CodeCell;
      // The message is sent right after this signal.
      setTimeout(() => {
        const origin = cell.isDisposed ? undefined : cell.outputArea.future?.msg.header.msg_id;
        if (origin !== undefined) {
          remember(this._cells, origin, cell.model.id);
        }
      });
    }
  }

  private _show(origin: string): boolean {
    const id = this._cells.get(origin);
    const content = this._notebook?.content;
    if (id === undefined || content === undefined || content.isDisposed) {
      return false;
    }
    const index = content.widgets.findIndex(cell => cell.model.id === id);
    if (index < 0) {
      return false;
    }
    content.activeCellIndex = index;
    void content.scrollToItem(index, 'smart');
    return true;
  }

  private readonly _notebook: NotebookPanel | null;
  private readonly _numbers = new Map<string, number>();
  private readonly _cells = new Map<string, string>();
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > MAX_RUNS) {
    map.delete(map.keys().next().value!);
  }
}
