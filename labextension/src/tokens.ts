/**
 * What the parts of the panel share: the messages of the feed, the view, the token.
 *
 * Imports nothing of ours but types of the pure part (`graph/`). The other end of the feed is `nbray/notebook/panel_comm.py`, which also
 * describes the protocol.
 */
import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';
import type { ICellSpan } from './graph/cellSpans.js';
import type { IObjectNode } from './graph/objectNodes.js';
import type { IHit } from './graph/scene.js';
import type { TaskCounts } from './graph/taskStates.js';
import type { TaskStore } from './graph/taskStore.js';

export type { TaskCounts, TaskState } from './graph/taskStates.js';

/** The tasks as the panel's parts read them. */
export type ITaskView = TaskStore;

/** One look at a cluster, as the kernel sends it. */
export interface ICluster {
  /** `running`, or `ended` when its daemon is gone. */
  state: string;
  /** CPUs of all nodes. */
  cpus_total: number;
  /** CPUs that tasks and actors hold; a fraction is possible. */
  cpus_used: number;
  gpus_total: number;
  gpus_used: number;
  /** Bytes of all objects in the store. */
  store_used: number;
  /** Bytes that fit into the store. */
  store_capacity: number;
  /** Worker processes that are alive. */
  workers: number;
  nodes: number;
  actors: number;
  tasks: TaskCounts;
}

/** One message of the feed: always the whole view, so that a lost one costs nothing. */
export interface IFeedMessage {
  /** Version of the protocol. */
  v: number;
  /** Counts the messages of one comm from 1. */
  seq: number;
  /** The kernel wants to know whether this page is still there. */
  ask: boolean;
  /** null: there is no cluster. */
  cluster: ICluster | null;
}

/** What CPU, GPU and store looked like at one moment. */
export interface ISample {
  /** Milliseconds of this browser's clock. */
  time: number;
  cpus: number;
  gpus: number;
  store: number;
}

/** How far the way to the kernel in front goes. */
export type Status =
  /** Nothing is in front. */
  | 'nothing'
  /** What is in front has no living kernel. */
  | 'no-kernel'
  /** The kernel has been asked whether it has nbray; a busy one answers after its cell. */
  | 'asking'
  /** The kernel has not loaded nbray. */
  | 'no-nbray'
  /** The comm is being opened. */
  | 'connecting'
  /** Messages arrive. */
  | 'live'
  /** The kernel restarts. */
  | 'restarting'
  /** The kernel's nbray speaks another version of the protocol. */
  | 'other-version'
  /** A cluster that was followed without a kernel is over. */
  | 'ended';

/** What is followed: the notebook or console in front, or a cluster without a kernel. */
export interface ISubject {
  /** What its tab says; the name of the cluster's session. */
  name: string;
  kind: 'notebook' | 'console' | 'cluster';
}

/** What the panel knows of the notebook or console in front. */
export interface IClusterModel {
  /** null when nothing is in front. */
  readonly subject: ISubject | null;

  readonly status: Status;

  /** The cluster of the kernel; null when it has none (yet). */
  readonly cluster: ICluster | null;

  /** Whether news of it can arrive; else what is shown is how it was when the connection to the kernel was lost. */
  readonly isConnected: boolean;

  /** Its tasks by state: while they are watched as all views show them, else as the cluster counts; null: no cluster. */
  readonly counts: TaskCounts | null;

  /** The last minute, oldest first. */
  readonly history: readonly ISample[];

  /** Emitted when any of the above has changed. */
  readonly changed: ISignal<IClusterModel, void>;

  /** The tasks of the cluster; up to date only while somebody watches them. */
  readonly tasks: ITaskView;

  /** Emitted when the tasks have changed, at most ten times a second. */
  readonly tasksChanged: ISignal<IClusterModel, void>;
  /** Emitted when something has happened in the cluster, or a cell has ended: what was asked about may be different now. */
  readonly stirred: ISignal<IClusterModel, void>;
  /** Emitted when a task has printed something. */
  readonly printed: ISignal<IClusterModel, void>;

  /** Watch the tasks until the returned function is called. */
  watchTasks(): () => void;

  /** The number of the cell that made tasks with this origin; null: not a cell of this notebook. */
  cellOf(origin: string): ICellLink | null;

  /** The cell that ran last with this number in brackets; null: none did since the page was opened. */
  cellNumbered(number: number): ICellLink | null;

  /**
   * Ask the kernel about one thing, or have it do one; `nbray/notebook/panel_answers/requests.py` lists what there is.
   * Rejects with a sentence. Nothing in the answer is trusted to have the right shape.
   */
  request(what: string, args?: Record<string, unknown>): Promise<unknown>;

  /** The last run of a cell of the notebook in front, by the cell's id. */
  runOf(cellId: string): ICellRun | null;

  /** The runs of cells that this page has seen, oldest first, on the clock of the day. */
  readonly cellRuns: readonly ICellSpan[];

  /** How often `tasksChanged` is emitted at most, per second. */
  updatesPerSecond: number;

  /** Whether `insertCell` would work now. */
  readonly canInsertCell: boolean;

  /** Puts a new code cell with this text below the active one, and runs it if asked to; false where that cannot be. */
  insertCell(text: string, run?: boolean): boolean;

  /** What is selected in all views: a group, or one task of it. It is forgotten when indexes change their meaning. */
  readonly selected: IHit | null;

  /** Select; emits `changed`. */
  select(hit: IHit | null): void;

  /** The object or actor whose details are open; null: none. */
  focus: IFocus | null;

  /** The objects that a person has put into the graph, as of a generation of the tasks; null: they are not shown. */
  shownObjects: { generation: number; nodes: readonly IObjectNode[] } | null;

  /** How tasks failed, by what `panels/graph/failures` knows them by, as far as that was asked; null: nobody can tell. */
  readonly failures: Map<string, { type: string; message: string; at: string } | null>;

  /** The origin of the cell whose tasks light up; null: all alike. */
  readonly lit: string | null;

  /** Light up the tasks of a cell; emits `changed`. */
  light(origin: string | null): void;

  /** Follow a cluster of the server, by its session's name, instead of what is in front; null: no more. */
  followCluster(name: string | null): void;
}

/** An object or an actor. */
export interface IFocus {
  kind: 'object' | 'actor';
  id: string;
  /** What a person calls it. */
  name: string;
}

/** A cell of the notebook in front. */
export interface ICellLink {
  /** What stands in brackets before it, when it ran. */
  number: number;
  /** Go to it; false when it is gone. */
  show(): boolean;
  /** Scroll it into view, without going there; false when it is gone. */
  reveal(): boolean;
}

/** What one run of a cell is known by. */
export interface ICellRun {
  /** The id of the message that ran it: the origin of its tasks. */
  origin: string;
  number: number;
  /** The kernel told of it: whether its outputs have been cleared since is not known here. */
  isToldOf: boolean;
}

/** The token under which the model is provided. */
export const IClusterModel = new Token<IClusterModel>(
  'nbray-labextension:IClusterModel',
  'The cluster of the notebook or console in front, live.'
);
