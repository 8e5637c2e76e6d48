/**
 * Reading what the kernel answers (`nbray/notebook/panel_answers/`): whatever is missing or of another
 * type becomes empty, so that the views need not look. Pure.
 */
import { compare } from '../graph/order.js';
import { visibleName } from '../graph/visibleName.js';
import { deathWords } from './deathWords.js';
import { fromKernel } from './kernelWords.js';
import { plain } from './plainText.js';
import { waitsThere, waitWords } from './waitSentences.js';

/** An argument of a task. */
export interface IArgument {
  label: string;
  text: string;
  size: number | null;
  /** The task that made it. */
  task: number | null;
}

/** A value that a task made. */
export interface IResult {
  object: string;
  index: number;
  size: number;
  where: string;
}

/** One who holds an object. */
export interface IHolder {
  kind: 'variable' | 'task' | 'tasks' | 'view' | 'process' | 'more';
  names: string[];
  name: string;
  pid: number;
  /** Which process it is, as in the workers of the tasks; empty: not known. */
  peer: string;
  count: number;
  task: number | null;
}

/** An object, and who holds it. */
export interface IHeld {
  object: string;
  name: string;
  part: string;
  size: number;
  where: string;
  made: string;
  by: IHolder[];
}

/** What a task waits for that others hold. */
export interface IWaits {
  /** The resources that are short: `1 GPU`, of which `0` of `1` are free. */
  short: { needs: string; free: string; total: string }[];
  /** In the order of their names. */
  holders: { name: string; pid: number; actor: boolean; made: string; task: number | null }[];
  /** Holders that are not listed. */
  more: number;
  /** Tasks that get what it needs before it does. */
  ahead: number;
}

/** A run of a task that failed and was followed by another. */
export interface ITry {
  /** From 0. */
  attempt: number;
  /** When it ended, on the node's clock. */
  end: number;
  type: string;
  message: string;
  pid: number;
}

/** All that is known of a task. */
export interface ITaskAnswer {
  id: string;
  owner: string;
  open: boolean;
  why: string;
  /** What it waits for where it runs. */
  waitsThere: string;
  waits: IWaits | null;
  /** How many inputs it lacks, and the first of the tasks that make them, those that run before the others. */
  missing: { count: number; tasks: number[] } | null;
  asked: string;
  retries: number | null;
  tries: ITry[];
  arguments: IArgument[];
  argumentsNote: string;
  results: IResult[];
  error: { type: string; message: string; traceback: string; at: string } | null;
  log: { text: string; cut: boolean };
  worker: { pid: number; ended: boolean; log: string };
  holds: IHeld[];
  /** Why it cannot be cancelled, stopped by force, run again; empty: it can. */
  noCancel: string;
  noForce: string;
  noRetry: string;
}

/** An actor. */
export interface IActor {
  id: string;
  className: string;
  /** What it is called in all views: its name, or its class and number. */
  title: string;
  name: string;
  state: string;
  pid: number;
  peer: string;
  restarts: number;
  made: string;
  mine: boolean;
  pending: number;
  cause: string;
  resources: Record<string, number>;
}

/** An object of the store, or a small value of the notebook. */
export interface IObject {
  id: string;
  size: number;
  where: string;
  kind: string;
  made: string;
  task: number | null;
  names: string[];
  by: IHolder[];
  views: number;
  noFree: string;
  /** Tasks that took it, of a value that was put. */
  takers: number[];
}

/** The objects, and the store. */
export interface IObjects {
  objects: IObject[];
  total: number;
  used: number;
  capacity: number;
  spilled: number;
}

/** A node. */
export interface INode {
  id: string;
  name: string;
  state: string;
  total: Record<string, number>;
  free: Record<string, number>;
}

/** A process of the cluster. */
export interface IWorker {
  peer: string;
  pid: number;
  role: string;
  state: string;
  /** The task that it runs now. */
  task: number | null;
  /** What the actor is called that it has become. */
  actor: string;
  resources: Record<string, number>;
  waits: string;
}

/** A placement group. */
export interface IPlacementGroup {
  id: string;
  name: string;
  state: string;
  strategy: string;
  bundles: string[];
  placed: number;
}

/** The nodes and what is on them. */
export interface INodes {
  nodes: INode[];
  workers: IWorker[];
  groups: IPlacementGroup[];
}

type Raw = Record<string, unknown>;

/** The answer to `task`. */
export function readTask(value: unknown): ITaskAnswer {
  const raw = record(value);
  const log = record(raw.log);
  const worker = record(raw.worker);
  const error = raw.error === null || raw.error === undefined ? null : record(raw.error);
  return {
    id: text(raw.id),
    owner: said(raw.owner),
    open: raw.open === true,
    why: typeof raw.why === 'string' ? said(raw.why) : waitWords(raw.why),
    waitsThere: waitsThere(raw.why),
    waits: waits(raw.waits),
    missing: missing(raw.missing),
    asked: text(raw.asked),
    retries: typeof raw.retries === 'number' ? raw.retries : null,
    tries: rows(raw.tries).map(row => ({
      attempt: number(row.attempt),
      end: number(row.end),
      type: name(row.type),
      message: said(row.message),
      pid: number(row.pid)
    })),
    arguments: rows(raw.arguments).map(row => ({
      label: text(row.label),
      text: said(row.text),
      size: typeof row.size === 'number' ? row.size : null,
      task: index(row.task)
    })),
    argumentsNote: said(raw.arguments_note),
    results: rows(raw.results).map(row => ({
      object: text(row.object),
      index: number(row.index),
      size: number(row.size),
      where: text(row.where)
    })),
    error: error && {
      type: visibleName(text(error.type)),
      message: said(error.message),
      traceback: plain(text(error.traceback)),
      at: text(error.at)
    },
    log: { text: plain(text(log.text)), cut: log.cut === true },
    worker: {
      pid: number(worker.pid),
      ended: worker.ended === true,
      log: plain(text(worker.log))
    },
    holds: rows(raw.holds).map(row => ({
      object: text(row.object),
      name: said(row.name),
      part: said(row.part),
      size: number(row.size),
      where: text(row.where),
      made: text(row.made),
      by: holders(row.by)
    })),
    noCancel: said(raw.no_cancel),
    noForce: said(raw.no_force),
    noRetry: said(raw.no_retry)
  };
}

/** The answer to `actors`. */
export function readActors(value: unknown): IActor[] {
  return rows(record(value).actors).map(row => ({
    id: text(row.id),
    className: name(row.class),
    title: name(row.title),
    name: name(row.name),
    state: text(row.state),
    pid: number(row.pid),
    peer: text(row.peer),
    restarts: number(row.restarts),
    made: text(row.made),
    mine: row.mine === true,
    pending: number(row.pending),
    cause: deathWords(text(row.cause)),
    resources: amounts(row.resources)
  }));
}

/** The answer to `objects`. */
export function readObjects(value: unknown): IObjects {
  const raw = record(value);
  return {
    objects: rows(raw.objects).map(row => ({
      id: text(row.id),
      size: number(row.size),
      where: text(row.where),
      kind: text(row.kind),
      made: text(row.made),
      task: index(row.task),
      names: texts(row.names),
      by: holders(row.by),
      views: number(row.views),
      noFree: said(row.no_free),
      takers: indexes(row.takers)
    })),
    total: number(raw.total),
    used: number(raw.used),
    capacity: number(raw.capacity),
    spilled: number(raw.spilled)
  };
}

/** The answer to `nodes`. */
export function readNodes(value: unknown): INodes {
  const raw = record(value);
  return {
    nodes: rows(raw.nodes).map(row => ({
      id: text(row.id),
      name: name(row.name),
      state: text(row.state),
      total: amounts(row.total),
      free: amounts(row.free)
    })),
    workers: rows(raw.workers).map(row => ({
      peer: text(row.peer),
      pid: number(row.pid),
      role: text(row.role),
      state: text(row.state),
      task: index(row.task),
      actor: name(row.actor),
      resources: amounts(row.resources),
      waits: text(row.waits)
    })),
    groups: rows(raw.groups).map(row => ({
      id: text(row.id),
      name: name(row.name),
      state: text(row.state),
      strategy: text(row.strategy),
      bundles: texts(row.bundles),
      placed: number(row.placed)
    }))
  };
}

const KINDS: readonly IHolder['kind'][] = ['variable', 'task', 'tasks', 'view', 'process', 'more'];

function holders(value: unknown): IHolder[] {
  return rows(value).map(row => ({
    kind: KINDS.find(kind => kind === row.kind) ?? 'process',
    names: texts(row.names),
    name: visibleName(said(row.name)),
    pid: number(row.pid),
    peer: text(row.peer),
    count: number(row.count),
    task: index(row.task)
  }));
}

function record(value: unknown): Raw {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Raw) : {};
}

function rows(value: unknown): Raw[] {
  return Array.isArray(value) ? value.map(record) : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function name(value: unknown): string {
  return visibleName(text(value));
}

function said(value: unknown): string {
  return fromKernel(text(value));
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(text) : [];
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function index(value: unknown): number | null {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : null;
}

function indexes(value: unknown): number[] {
  return Array.isArray(value) ? value.map(index).filter(one => one !== null) : [];
}

function amounts(value: unknown): Record<string, number> {
  return Object.fromEntries(Object.entries(record(value)).map(([name, n]) => [name, number(n)]));
}

function missing(value: unknown): { count: number; tasks: number[] } | null {
  const raw = record(value);
  return number(raw.count) > 0 ? { count: number(raw.count), tasks: indexes(raw.tasks) } : null;
}

function waits(value: unknown): IWaits | null {
  const raw = record(value);
  const short = rows(raw.short).map(row => ({
    needs: text(row.needs),
    free: text(row.free),
    total: text(row.total)
  }));
  if (short.length === 0) {
    return null;
  }
  return {
    short,
    holders: rows(raw.holders)
      .map(row => ({
        name: name(row.name),
        pid: number(row.pid),
        actor: row.actor === true,
        made: text(row.made),
        task: index(row.task)
      }))
      .sort((a, b) => compare(a.name, b.name) || (a.task ?? 0) - (b.task ?? 0)),
    more: number(raw.more),
    ahead: number(raw.ahead)
  };
}
