/** What the panel says when there is nothing to count: how it is, and what to do next. Pure. */
import type { Status } from '../../tokens.js';

/** The words of one state of affairs. */
export interface IEmptyWords {
  sentence: string;
  more?: string;
  /** The text of a cell that is the next step ... */
  cell?: string;
  /** ... and what the button that puts it there says. */
  button?: string;
  /** What the button says that starts a cluster, by a cell that does so. */
  starts?: string;
}

/** The words for a kernel without a cluster, or for the way to it. */
export function emptyWords(status: Status): IEmptyWords {
  switch (status) {
    case 'nothing':
      return {
        sentence: 'No notebook is open.',
        more: 'The panel follows the notebook or console in front.'
      };
    case 'no-kernel':
      return { sentence: 'No kernel is running here.' };
    case 'asking':
      return {
        sentence: 'Asking the kernel for nbray.',
        more: 'While a cell runs, the answer waits for its end.'
      };
    case 'no-nbray':
      return {
        sentence: 'This kernel has not loaded nbray.',
        more: 'Run %load_ext nbray, or choose the kernel nbray (Python 3).',
        cell: '%load_ext nbray',
        button: 'Insert %load_ext nbray'
      };
    case 'connecting':
      return { sentence: 'Connecting to the kernel.' };
    case 'restarting':
      return { sentence: 'The kernel restarts.', more: 'Its cluster has ended with it.' };
    case 'other-version':
      return {
        sentence: 'This panel and the nbray of this kernel are of different versions.',
        more: 'Update the older one, restart the kernel and reload the page.'
      };
    case 'ended':
      return {
        sentence: 'This cluster has ended.',
        more: 'The panel follows the notebook in front again when you choose one.'
      };
    case 'live':
      return {
        sentence: 'No cluster yet. It starts with the first %%remote cell.',
        cell: '%%remote\n',
        button: 'Insert a %%remote cell',
        starts: 'Start a cluster'
      };
  }
}
