/** The tasks as a trace for Perfetto or Chrome (Trace Event Format, JSON). Pure. */
import { STATE_OF_CODE } from '../graph/states.js';
import type { TaskStore } from '../graph/taskStore.js';
import { actorName } from '../graph/workerNames.js';

/** The text of the file. `now`: the node's clock, milliseconds, where tasks that run still end. */
export function traceOf(store: TaskStore, now: number): string {
  const events: object[] = [meta('process_name', 0, 'nbray')];
  store.workers.forEach((_, index) =>
    events.push(meta('thread_name', index, actorName(store, index)))
  );
  for (let task = 0; task < store.count; task++) {
    const [start, end] = [store.start[task]!, store.end[task]!];
    if (start <= 0) {
      continue;
    }
    const { name, kind } = store.functions[store.function[task]!] ?? { name: 'task', kind: '' };
    events.push({
      name: name || 'task',
      cat: kind || 'task',
      ph: 'X',
      pid: 1,
      tid: store.worker[task]!,
      ts: start * 1000,
      dur: Math.max(0, (end > 0 ? end : now) - start) * 1000,
      args: {
        task: store.title(task),
        state: STATE_OF_CODE[store.state[task]!],
        attempt: store.attempt[task],
        submitted_us: store.submitted[task]! * 1000
      }
    });
  }
  for (const sample of store.usage) {
    const ts = sample.t_ns / 1000;
    events.push(
      counter('CPU, share', ts, sample.cpu),
      counter('store, bytes', ts, sample.store_used)
    );
    for (const gpu of sample.gpus) {
      events.push(counter(`GPU ${gpu.index}, share`, ts, gpu.utilization ?? 0));
    }
  }
  return JSON.stringify({ displayTimeUnit: 'ms', traceEvents: events });
}

function meta(name: string, tid: number, value: string): object {
  return { name, ph: 'M', pid: 1, tid, args: { name: value } };
}

function counter(name: string, ts: number, value: number): object {
  return { name, ph: 'C', pid: 1, ts, args: { value } };
}
