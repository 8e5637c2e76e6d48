/** Which cell tasks come from: their origin is the id of the message that ran it. */
import type { ISessionContext } from '@jupyterlab/apputils';
import type { Cell, CodeCell } from '@jupyterlab/cells';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import type { KernelMessage } from '@jupyterlab/services';
import { Signal, type ISignal } from '@lumino/signaling';
import type { ICellSpan } from '../graph/cellSpans.js';
import type { ICellLink, ICellRun } from '../tokens.js';
import type { CellMemory } from './cellMemory.js';

/** Runs of cells that are remembered per notebook. */
const MAX_RUNS = 5_000;
/** Of these, how many with their times. */
const MAX_TIMED = 500;

/** Remembers the runs of one notebook's (or console's) cells. */
export class CellLinks {
  constructor(
    sessionContext: ISessionContext,
    notebook: NotebookPanel | null,
    memory: CellMemory | null = null
  ) {
    this._notebook = notebook;
    this._session = sessionContext;
    this._memory = memory;
    sessionContext.kernelChanged.connect(this._recall, this);
    this._recall();
    sessionContext.iopubMessage.connect(this._onMessage, this);
    if (notebook !== null) {
      NotebookActions.executionScheduled.connect(this._onScheduled, this);
      NotebookActions.outputCleared.connect(this._onCleared, this);
      notebook.disposed.connect(() => {
        NotebookActions.executionScheduled.disconnect(this._onScheduled, this);
        NotebookActions.outputCleared.disconnect(this._onCleared, this);
      });
    }
  }

  /** The cell behind an origin; null when nobody has told of it. */
  cellOf(origin: string): ICellLink | null {
    const number = this._numbers.get(origin);
    if (number === undefined) {
      return null;
    }
    return {
      number,
      show: () => this._show(origin, true),
      reveal: () => this._show(origin, false)
    };
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

  /** The last run of a cell; null when it did not run here. */
  runOf(cellId: string): ICellRun | null {
    const origin = this._lastRuns.get(cellId);
    const number = origin === undefined ? undefined : this._numbers.get(origin);
    return number === undefined
      ? null
      : { origin: origin!, number, isToldOf: this._toldOf.has(origin!) };
  }

  /** Take over what the kernel knows: cells that ran for another page, or before this one was opened. */
  learn(cells: readonly (readonly [origin: string, number: number, cell: string])[]): void {
    for (const [origin, number, cell] of cells) {
      if (this._cells.has(origin)) {
        continue;
      }
      const last = this.runOf(cell);
      remember(this._numbers, origin, number);
      remember(this._cells, origin, cell);
      if (last === null || last.number < number) {
        remember(this._lastRuns, cell, origin);
        remember(this._toldOf, origin, true);
      }
    }
  }

  /** When cells ran since the page was opened, oldest first; of other clients too. */
  get runs(): readonly ICellSpan[] {
    return this._runs;
  }

  /** Emitted when a cell has ended. */
  get ended(): ISignal<this, void> {
    return this._ended;
  }

  /** Take over what this tab knew of the kernel before the page was loaded again. */
  private _recall(): void {
    const kernel = this._session.session?.kernel?.id;
    for (const [origin, cell, number, cleared] of (kernel && this._memory?.runsOf(kernel)) || []) {
      if (!this._numbers.has(origin)) {
        remember(this._numbers, origin, number);
        this._ran(origin, cell);
        if (cleared === true) {
          this._lastRuns.delete(cell);
        }
      }
    }
  }

  private _ran(origin: string, cell: string): void {
    remember(this._cells, origin, cell);
    remember(this._lastRuns, cell, origin);
    this._toldOf.delete(origin);
  }

  private _note(origin: string, cleared = false): void {
    const [cell, number] = [this._cells.get(origin), this._numbers.get(origin)];
    const kernel = this._session.session?.kernel?.id;
    if (kernel !== undefined && cell !== undefined && number !== undefined) {
      const run = [origin, cell, number] as const;
      this._memory?.add(kernel, cleared ? [...run, true] : run);
    }
  }

  private _onMessage(_: ISessionContext, message: KernelMessage.IMessage): void {
    if (message.header.msg_type === 'execute_input') {
      const origin = (message.parent_header as KernelMessage.IHeader).msg_id;
      const { execution_count: number } = message.content as { execution_count?: number };
      if (typeof number === 'number') {
        remember(this._numbers, origin, number);
        this._note(origin);
        const from = Date.parse(message.header.date);
        this._end(from); // of one whose kernel died nobody said that it is over
        this._runs.push({ origin, number, from, to: null });
        this._runs.splice(0, this._runs.length - MAX_TIMED);
      }
    } else if (message.header.msg_type === 'status') {
      const { msg_id } = message.parent_header as KernelMessage.IHeader;
      const { execution_state: state } = message.content as { execution_state?: string };
      if (state === 'idle' && msg_id === this._runs.at(-1)?.origin) {
        this._end(Date.parse(message.header.date));
        this._ended.emit();
      }
    }
  }

  /** The cell that ran last is over. */
  private _end(at: number): void {
    const last = this._runs.at(-1);
    if (last !== undefined) {
      last.to ??= at;
    }
  }

  private _onScheduled(_: unknown, args: { notebook: unknown; cell: Cell }): void {
    if (args.notebook === this._notebook?.content && args.cell.model.type === 'code') {
      const cell = args.cell as CodeCell;
      // The message is sent right after this signal.
      setTimeout(() => {
        const origin = cell.isDisposed ? undefined : cell.outputArea.future?.msg.header.msg_id;
        if (origin !== undefined) {
          this._ran(origin, cell.model.id);
          this._note(origin);
        }
      });
    }
  }

  /** What a cell showed of its last run is gone; its tasks still know where they come from. */
  private _onCleared(_: unknown, args: { notebook: unknown; cell: Cell }): void {
    const { id } = args.cell.model;
    const origin = this._lastRuns.get(id);
    const last = this._runs.at(-1);
    const runs = last?.origin === origin && last?.to === null;
    if (args.notebook === this._notebook?.content && origin !== undefined && !runs) {
      this._lastRuns.delete(id);
      this._note(origin, true);
    }
  }

  private _show(origin: string, go: boolean): boolean {
    const id = this._cells.get(origin);
    const content = this._notebook?.content;
    if (id === undefined || content === undefined || content.isDisposed) {
      return false;
    }
    const index = content.widgets.findIndex(cell => cell.model.id === id);
    if (index < 0) {
      return false;
    }
    if (go) {
      content.activeCellIndex = index;
    }
    void content.scrollToItem(index, 'smart');
    return true;
  }

  private readonly _ended = new Signal<this, void>(this);
  private readonly _notebook: NotebookPanel | null;
  private readonly _session: ISessionContext;
  private readonly _memory: CellMemory | null;
  private readonly _runs: ICellSpan[] = [];
  /** Cell to the origin of its last run. */
  private readonly _lastRuns = new Map<string, string>();
  /** Runs of which only the kernel has told. */
  private readonly _toldOf = new Map<string, true>();
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
