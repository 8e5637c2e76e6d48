/** Holds what the panel knows of the notebook or console in front, and says when it changes. */
import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import { Signal, type ISignal } from '@lumino/signaling';
import { TaskStore, type IFrame } from '../graph/taskStore.js';
import { addSample, sampleOf } from './history.js';
import {
  KernelLink,
  type IKernelMemory,
  type ILinkListener,
  type ISubshells
} from './kernelLink.js';
import type { ICellLink, ICluster, IClusterModel, ISample, ISubject, Status } from '../tokens.js';

/** What can be followed: a notebook or console, and how to put a cell into it. */
export interface IFollowed {
  kind: ISubject['kind'];
  name(): string;
  sessionContext: ISessionContext;
  /** null: this place takes no cells. */
  insertCell: ((text: string) => void) | null;
  /** The cell that tasks with this origin come from. */
  cellOf(origin: string): ICellLink | null;
  /** The cell that ran last under this number. */
  cellNumbered(number: number): ICellLink | null;
}

/** How the model is made. */
export interface IClusterModelOptions {
  memory: IKernelMemory;
  subshells: ISubshells;
  /**
   * The connection of the same kernel that may use comms: a page has one per kernel, and the
   * console of a notebook is not it.
   */
  commConnection?: (kernel: Kernel.IKernelConnection) => Kernel.IKernelConnection | null;
}

/** The model behind panel and status bar. */
export class ClusterModel implements IClusterModel, ILinkListener {
  constructor(options: IClusterModelOptions) {
    this._commConnection = options.commConnection ?? (kernel => kernel);
    this._link = new KernelLink({ listener: this, ...options });
  }

  get subject(): ISubject | null {
    const followed = this._followed;
    return followed && { name: followed.name(), kind: followed.kind };
  }

  get status(): Status {
    return this._status;
  }

  get cluster(): ICluster | null {
    return this._cluster;
  }

  get history(): readonly ISample[] {
    return this._history;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  readonly tasks = new TaskStore();

  get tasksChanged(): ISignal<this, void> {
    return this._tasksChanged;
  }

  watchTasks(): () => void {
    this._watchers += 1;
    this._link.watchTasks(true);
    let over = false;
    return () => {
      if (!over) {
        over = true;
        this._watchers -= 1;
        this._link.watchTasks(this._watchers > 0);
      }
    };
  }

  request(what: string, args: Record<string, unknown> = {}): Promise<unknown> {
    return this._link.request(what, args);
  }

  cellNumbered(number: number): ICellLink | null {
    return this._followed?.cellNumbered(number) ?? null;
  }

  cellOf(origin: string): ICellLink | null {
    return origin === '' ? null : (this._followed?.cellOf(origin) ?? null);
  }

  get canInsertCell(): boolean {
    return this._followed !== null && this._followed.insertCell !== null;
  }

  insertCell(text: string): boolean {
    const insert = this._followed?.insertCell;
    insert?.(text);
    return Boolean(insert);
  }

  /** Follow this notebook or console from now on. */
  follow(followed: IFollowed | null): void {
    const old = this._followed;
    if (old !== null && !old.sessionContext.isDisposed) {
      old.sessionContext.kernelChanged.disconnect(this._onKernelChanged, this);
      old.sessionContext.propertyChanged.disconnect(this._emit, this);
    }
    this._followed = followed;
    if (followed !== null) {
      followed.sessionContext.kernelChanged.connect(this._onKernelChanged, this);
      followed.sessionContext.propertyChanged.connect(this._emit, this);
    }
    this._onKernelChanged();
  }

  /** The page goes away: tell the kernel. */
  dispose(): void {
    this._link.dispose();
  }

  onStatus(status: Status): void {
    this._status = status;
    if (status !== 'live' && status !== 'connecting') {
      this._forget();
    }
    this._emit();
  }

  onCluster(cluster: ICluster | null): void {
    if (cluster === null) {
      this._forget();
    } else {
      this._cluster = cluster;
      this._history = addSample(this._history, sampleOf(cluster, Date.now()));
    }
    this._emit();
  }

  onFrame(frame: IFrame, rows: DataView, edges: DataView): void {
    if (frame.kind === 'delta' && frame.generation !== this.tasks.generation) {
      return; // of a table that this page has not seen; its snapshot is on the way
    }
    this.tasks.apply(frame, rows, edges, performance.now());
    this._tasksChanged.emit();
  }

  private _onKernelChanged(): void {
    const kernel = this._followed?.sessionContext.session?.kernel ?? null;
    const connection = kernel === null ? null : this._commConnection(kernel);
    if (connection !== this._link.kernel || connection === null) {
      this._forget();
      this._link.attach(connection);
    }
    if (this._followed === null) {
      this._status = 'nothing';
    } else if (connection === null) {
      this._status = 'no-kernel';
    }
    this._emit();
  }

  private _forget(): void {
    this._cluster = null;
    this._history = [];
    if (this.tasks.generation >= 0) {
      this.tasks.clear();
      this._tasksChanged.emit();
    }
  }

  private _emit(): void {
    this._changed.emit();
  }

  private readonly _link: KernelLink;
  private readonly _commConnection: (
    k: Kernel.IKernelConnection
  ) => Kernel.IKernelConnection | null;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _tasksChanged = new Signal<this, void>(this);
  private _watchers = 0;
  private _followed: IFollowed | null = null;
  private _status: Status = 'nothing';
  private _cluster: ICluster | null = null;
  private _history: readonly ISample[] = [];
}
