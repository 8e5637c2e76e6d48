/** Holds what the panel knows of the notebook or console in front, and says when it changes. */
import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import { Signal, type ISignal } from '@lumino/signaling';
import type { ICellSpan } from '../graph/cellSpans.js';
import type { IHit } from '../graph/scene.js';
import type { IFrame } from '../graph/frames.js';
import { TaskStore } from '../graph/taskStore.js';
import { addSample, sampleOf } from './history.js';
import { countsOf } from '../graph/states.js';
import {
  KernelLink,
  type IKernelMemory,
  type ILinkListener,
  type ISubshells
} from './kernelLink.js';
import { ServerLink, type OpenFeed } from './serverLink.js';
import type {
  ICellLink,
  ICellRun,
  ICluster,
  IClusterModel,
  IFocus,
  ISample,
  ISubject,
  Status,
  TaskCounts
} from '../tokens.js';

/** Frames come ten times a second, give or take a little: one that is early by this is not held back. */
const SLACK_MS = 30;

/** What can be followed: a notebook or console, and how to put a cell into it. */
export interface IFollowed {
  kind: ISubject['kind'];
  name(): string;
  sessionContext: ISessionContext;
  /** null: this place takes no cells. */
  insertCell: ((text: string, run: boolean) => void) | null;
  /** The cell that tasks with this origin come from. */
  cellOf(origin: string): ICellLink | null;
  /** The cell that ran last under this number. */
  cellNumbered(number: number): ICellLink | null;
  /** The last run of a cell. */
  runOf(cellId: string): ICellRun | null;
  /** Take over which cells the kernel has run, also for other pages: origin, number, id of the cell. */
  learn(cells: readonly (readonly [string, number, string])[]): void;
  /** The runs of its cells, oldest first. */
  cellRuns(): readonly ICellSpan[];
  /** Emitted when a cell has ended. */
  cellEnded: ISignal<unknown, void>;
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
  /** Opens the server's feed of a cluster without a kernel. */
  openFeed?: OpenFeed;
}

/** The model behind panel and status bar. */
export class ClusterModel implements IClusterModel, ILinkListener {
  constructor(options: IClusterModelOptions) {
    this._commConnection = options.commConnection ?? (kernel => kernel);
    this._link = new KernelLink({ ...options, listener: this._heardFrom('kernel') });
    this._serverLink = new ServerLink(this._heardFrom('server'), options.openFeed);
  }

  get subject(): ISubject | null {
    if (this._server !== null) {
      return { name: this._server, kind: 'cluster' };
    }
    const followed = this._followed;
    return followed && { name: followed.name(), kind: followed.kind };
  }

  get status(): Status {
    return this._status;
  }

  get cluster(): ICluster | null {
    return this._cluster;
  }

  get isConnected(): boolean {
    const kernel = this._link.kernel;
    return this._server !== null || (kernel?.connectionStatus ?? 'connected') === 'connected';
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

  get stirred(): ISignal<this, void> {
    return this._stirred;
  }

  get printed(): ISignal<this, void> {
    return this._printed;
  }

  get counts(): TaskCounts | null {
    const { counts, dropped } = this.tasks;
    return this._cluster === null
      ? null
      : this._isFresh && dropped === 0
        ? countsOf(counts)
        : this._cluster.tasks;
  }

  watchTasks(): () => void {
    this._watchers += 1;
    this._watch();
    let over = false;
    return () => {
      if (!over) {
        over = true;
        this._watchers -= 1;
        this._watch();
      }
    };
  }

  request(what: string, args: Record<string, unknown> = {}): Promise<unknown> {
    return this._server === null
      ? this._link.request(what, args)
      : this._serverLink.request(what, args);
  }

  cellNumbered(number: number): ICellLink | null {
    return this._followed?.cellNumbered(number) ?? null;
  }

  private _watch(): void {
    const wanted = this._watchers > 0;
    this._isFresh &&= wanted;
    this._link.watchTasks(wanted && this._server === null);
    this._serverLink.watchTasks(wanted);
  }

  focus: IFocus | null = null;
  shownObjects: IClusterModel['shownObjects'] = null;
  readonly failures: IClusterModel['failures'] = new Map();

  get selected(): IHit | null {
    return this._selected;
  }

  select(hit: IHit | null): void {
    this._selected = hit;
    this._emit();
  }

  get lit(): string | null {
    return this._lit;
  }

  light(origin: string | null): void {
    if (origin !== this._lit) {
      this._lit = origin;
      this._emit();
    }
  }

  followCluster(name: string | null): void {
    if (name === this._server) {
      return;
    }
    this._server = name;
    this._forget();
    this._watch();
    this._serverLink.attach(name);
    if (name === null) {
      const followed = this._followed;
      this._link.attach(null);
      this.follow(followed);
    } else {
      this._link.attach(null); // one cluster at a time
    }
    this._emit();
  }

  cellOf(origin: string): ICellLink | null {
    return origin === '' ? null : (this._followed?.cellOf(origin) ?? null);
  }

  runOf(cellId: string): ICellRun | null {
    return this._followed?.runOf(cellId) ?? null;
  }

  get cellRuns(): readonly ICellSpan[] {
    return this._server === null ? (this._followed?.cellRuns() ?? []) : [];
  }

  get canInsertCell(): boolean {
    return this._followed !== null && this._followed.insertCell !== null;
  }

  insertCell(text: string, run = false): boolean {
    const insert = this._followed?.insertCell;
    insert?.(text, run);
    return Boolean(insert);
  }

  /** Follow this notebook or console from now on. */
  follow(followed: IFollowed | null): void {
    if (this._server !== null) {
      this._server = null;
      this._serverLink.attach(null);
      this._watch();
    }
    const old = this._followed;
    if (old !== null && !old.sessionContext.isDisposed) {
      old.sessionContext.kernelChanged.disconnect(this._onKernelChanged, this);
      old.sessionContext.propertyChanged.disconnect(this._emit, this);
      old.cellEnded.disconnect(this._stir, this);
    }
    this._followed = followed;
    if (followed !== null) {
      followed.sessionContext.kernelChanged.connect(this._onKernelChanged, this);
      followed.sessionContext.propertyChanged.connect(this._emit, this);
      followed.cellEnded.connect(this._stir, this);
    }
    this._onKernelChanged();
  }

  /** The page goes away: tell the kernel. */
  dispose(): void {
    this._link.dispose();
    this._serverLink.dispose();
  }

  /** What one of the two links says counts while it is the one that is followed. */
  private _heardFrom(link: 'kernel' | 'server'): ILinkListener {
    const counts = (): boolean => (this._server !== null) === (link === 'server');
    return {
      onStatus: status => counts() && this.onStatus(status),
      onCluster: cluster => counts() && this.onCluster(cluster),
      onFrame: (frame, rows, edges) => counts() && this.onFrame(frame, rows, edges)
    };
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
    this._stir();
    this._emit();
  }

  onFrame(frame: IFrame, rows: DataView, edges: DataView): void {
    if (!this.tasks.follows(frame)) {
      return; // of a table that this page has not seen; its snapshot is on the way
    }
    const now = performance.now();
    if (this._server === null && frame.cells !== undefined) {
      this._followed?.learn(frame.cells);
    }
    const { epoch, clusterVersion } = this.tasks;
    this.tasks.apply(frame, rows, edges, now);
    if (clusterVersion !== this.tasks.clusterVersion) {
      this._selected = null; // indexes mean other tasks now
    }
    this._isFresh = this._watchers > 0;
    this._keepSelected(epoch);
    if (rows.byteLength > 0 || edges.byteLength > 0) {
      this._stir(); // not by samples of what the node does
    }
    if (frame.printed !== this._printedAt) {
      this._printedAt = frame.printed;
      this._printed.emit();
    }
    const due = this._toldAt + 1000 / this.updatesPerSecond - SLACK_MS;
    if (now >= due) {
      this._tell();
    } else {
      this._later ??= setTimeout(() => this._tell(), due - now);
    }
  }

  /** Tasks were forgotten, or told of anew: the one that is selected has another index, or is gone. */
  private _keepSelected(epoch: number): void {
    const hit = this._selected;
    if (hit === null) {
      return;
    }
    const task = hit.task === null ? null : this.tasks.moved(hit.task);
    const gone = task === null && (hit.task !== null || epoch !== this.tasks.epoch);
    if (gone || (task !== null && task >= this.tasks.count)) {
      this._selected = null;
    } else if (task !== hit.task || epoch !== this.tasks.epoch) {
      this._selected = { group: task === null ? hit.group : this.tasks.group[task]!, task };
    }
  }

  private _tell(): void {
    clearTimeout(this._later);
    this._later = undefined;
    this._toldAt = performance.now();
    this._tasksChanged.emit();
  }

  private _onKernelChanged(): void {
    const kernel =
      this._server === null ? (this._followed?.sessionContext.session?.kernel ?? null) : null;
    const connection = kernel === null ? null : this._commConnection(kernel);
    if (connection !== this._link.kernel || connection === null) {
      this._forget();
      this._link.kernel?.connectionStatusChanged.disconnect(this._emit, this);
      this._link.attach(connection);
      connection?.connectionStatusChanged.connect(this._emit, this);
    }
    if (this._server !== null) {
      return;
    }
    if (this._followed === null) {
      this._status = 'nothing';
    } else if (connection === null) {
      this._status = 'no-kernel';
    }
    this._emit();
  }

  private _forget(): void {
    this._isFresh = false;
    this._cluster = null;
    this._history = [];
    this._selected = null;
    this.failures.clear();
    if (this.tasks.generation >= 0) {
      this.tasks.clear();
      this._tasksChanged.emit();
    }
  }

  private _stir(): void {
    this._stirred.emit();
  }

  private _emit(): void {
    this._changed.emit();
  }

  private readonly _link: KernelLink;
  private readonly _serverLink: ServerLink;
  private _server: string | null = null;
  private _selected: IHit | null = null;
  private _lit: string | null = null;
  private readonly _commConnection: (
    k: Kernel.IKernelConnection
  ) => Kernel.IKernelConnection | null;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _stirred = new Signal<this, void>(this);
  private readonly _printed = new Signal<this, void>(this);
  private _printedAt: number | undefined;
  private readonly _tasksChanged = new Signal<this, void>(this);
  updatesPerSecond = 10;
  private _toldAt = 0;
  private _later: ReturnType<typeof setTimeout> | undefined;
  private _watchers = 0;
  /** Whether the tasks are watched, and have come. */
  private _isFresh = false;
  private _followed: IFollowed | null = null;
  private _status: Status = 'nothing';
  private _cluster: ICluster | null = null;
  private _history: readonly ISample[] = [];
}
