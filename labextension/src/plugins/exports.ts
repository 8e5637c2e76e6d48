/** Saves what the panel shows: a trace, the picture of the graph, a report; and copies the selection as code. */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, ICommandPalette, showErrorMessage } from '@jupyterlab/apputils';
import { CommandIDs } from '../commands.js';
import { asCode, focusAsCode } from '../exports/asCode.js';
import { graphSvg } from '../exports/graphSvg.js';
import { reportOf } from '../exports/report.js';
import { traceOf } from '../exports/trace.js';
import type { IGroup } from '../graph/taskStore.js';
import { objectsForPicture } from '../model/shownObjects.js';
import { failureOf } from '../panels/graph/failures.js';
import { objectWords } from '../panels/graph/graphObjects.js';
import { readPalette } from '../panels/palette.js';
import { t } from '../text.js';
import { IClusterModel } from '../tokens.js';
import { INbraySettings } from './settings.js';

/** How long to wait for the tasks where nobody has watched them yet. */
const TASKS_MS = 5_000;

/** Pixels of a picture that a browser can surely draw. */
const MAX_PIXELS = 8_000;

export const exportsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'nbray-labextension:exports',
  description: 'Saves the trace, the picture of the graph and a report.',
  autoStart: true,
  requires: [IClusterModel, INbraySettings],
  optional: [ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    model: IClusterModel,
    settings: INbraySettings,
    palette: ICommandPalette | null
  ): void => {
    const { commands } = app;
    const hasCluster = (): boolean => model.cluster !== null;
    const cellOf = (group: IGroup): string => {
      const cell = model.cellOf(model.tasks.functions[group.function]?.origin ?? '');
      return cell === null ? '' : t('cell %1', cell.number);
    };
    const picture = async (): Promise<ReturnType<typeof graphSvg>> => {
      const objects = await objectsForPicture(model);
      return graphSvg(model.tasks, {
        colors: readPalette(document.body),
        cellOf,
        objects,
        objectWords: object => objectWords(model, object),
        failure: group => failureOf(model, group)?.type ?? ''
      });
    };
    const name = (ending: string): string => {
      const stem = (model.subject?.name ?? 'nbray').replace(/\.ipynb$/, '');
      return `${stem.replace(/[^\w.-]+/g, '_')}-nbray.${ending}`;
    };
    const add = (
      command: string,
      label: string,
      action: (args: Args) => Promise<void> | void
    ): void => {
      commands.addCommand(command, {
        label: args => (args['format'] === 'png' ? t('Save the Task Graph as PNG') : label),
        isEnabled: hasCluster,
        describedBy: {
          args: { type: 'object', properties: { format: { type: 'string', enum: ['svg', 'png'] } } }
        },
        execute: async args => {
          const stop = model.watchTasks();
          try {
            await tasksThere(model);
            await action(args);
          } catch (reason) {
            await showErrorMessage(
              t('nbray could not save this'),
              String((reason as Error).message)
            );
          } finally {
            stop();
          }
        }
      });
      palette?.addItem({ command, category: 'nbray' });
    };

    add(CommandIDs.exportTrace, t('Save the Tasks as a Trace (Perfetto, Chrome)'), () => {
      save(name('trace.json'), 'application/json', traceOf(model.tasks, now(model)));
    });
    add(CommandIDs.exportGraph, t('Save the Task Graph as SVG'), async args => {
      const { svg, width, height } = await picture();
      if (args['format'] !== 'png') {
        save(name('svg'), 'image/svg+xml', svg);
        return;
      }
      save(name('png'), 'image/png', await toPng(svg, width, height));
    });
    palette?.addItem({
      command: CommandIDs.exportGraph,
      category: 'nbray',
      args: { format: 'png' }
    });
    add(CommandIDs.exportReport, t('Save a Report of the Run (HTML)'), async () => {
      const report = reportOf({
        store: model.tasks,
        title: model.subject?.name ?? 'nbray',
        date: new Date().toLocaleString(),
        now: now(model),
        svg: (await picture()).svg,
        cellOf,
        maxTasks: settings.reportTasks
      });
      save(name('report.html'), 'text/html', report);
    });
    add(CommandIDs.copyAsCode, t('Copy the Selection as Code'), async () => {
      if (model.focus !== null) {
        Clipboard.copyToSystem(focusAsCode(model.focus));
        return;
      }
      const task = model.selected?.task ?? null;
      const { generation } = model.tasks;
      const answer = task === null ? null : await model.request('task', { generation, task });
      const id = (answer as { id?: unknown } | null)?.id;
      Clipboard.copyToSystem(
        asCode(model.tasks, model.selected, typeof id === 'string' ? id : null)
      );
    });
  }
};

type Args = Readonly<Record<string, unknown>>;

function now(model: IClusterModel): number {
  return model.tasks.clock(performance.now());
}

/** Resolves when the tasks of the cluster have come. */
function tasksThere(model: IClusterModel): Promise<void> {
  return new Promise((resolve, reject) => {
    const check = (): boolean => {
      if (model.tasks.generation < 0) {
        return false;
      }
      model.tasksChanged.disconnect(check);
      clearTimeout(timer);
      resolve();
      return true;
    };
    const timer = setTimeout(() => {
      model.tasksChanged.disconnect(check);
      reject(new Error(t('The cluster has not told of its tasks.')));
    }, TASKS_MS);
    if (!check()) {
      model.tasksChanged.connect(check);
    }
  });
}

function save(name: string, type: string, content: string | Blob): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

async function toPng(svg: string, width: number, height: number): Promise<Blob> {
  const url = URL.createObjectURL(new Blob([svg], { type: 'image/svg+xml' }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const scale = Math.min(2, MAX_PIXELS / width, MAX_PIXELS / height);
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [Math.ceil(width * scale), Math.ceil(height * scale)];
    canvas.getContext('2d')!.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise<Blob | null>(resolve => canvas.toBlob(resolve, 'image/png'));
    if (blob === null) {
      throw new Error(t('The picture is too large for this browser.'));
    }
    return blob;
  } finally {
    URL.revokeObjectURL(url);
  }
}
