/** What the panel says when there is nothing to count: how it is, and what to do next. Pure. */
import { REMOTE, t } from '../../text.js';
import type { Status } from '../../tokens.js';

/** The words of one state of affairs. */
export interface IEmptyWords {
  sentence: string;
  more?: string;
  /** The text of a cell that is the next step ... */
  cell?: string;
  /** ... and what the button that puts it there says. */
  button?: string;
  /** On a button that shows the notebook in front again. */
  back?: string;
  /** What the button says that starts a cluster, by a cell that does so. */
  starts?: string;
}

/** The words for a kernel without a cluster, or for the way to it. */
export function emptyWords(status: Status | 'lost'): IEmptyWords {
  switch (status) {
    case 'nothing':
      return {
        sentence: t('No notebook is open.'),
        more: t('The panel follows the notebook or console in front.')
      };
    case 'no-kernel':
      return {
        sentence: t('No kernel is running here.'),
        more: t('Start one in the notebook: the panel follows it.')
      };
    case 'asking':
      return {
        sentence: t('Asking the kernel for nbray.'),
        more: t('While a cell runs, the answer waits for its end.')
      };
    case 'no-nbray':
      return {
        sentence: t('This kernel has not loaded nbray.'),
        more: t('Run %load_ext nbray, or choose the kernel nbray (Python 3).'),
        cell: '%load_ext nbray',
        button: t('Insert %load_ext nbray')
      };
    case 'connecting':
      return { sentence: t('Connecting to the kernel.') };
    case 'restarting':
      return { sentence: t('The kernel restarts.'), more: t('Its cluster has ended with it.') };
    case 'lost':
      return {
        sentence: t('There is no connection to the kernel now.'),
        more: t('The panel goes on once JupyterLab has it again.')
      };
    case 'other-version':
      return {
        sentence: t('This panel and the nbray of this kernel are of different versions.'),
        more: t('Update the older one, restart the kernel and reload the page.')
      };
    case 'ended':
      return {
        sentence: t('This cluster has ended.'),
        back: t('Back to the notebook')
      };
    case 'live':
      return {
        sentence: t('No cluster yet. It starts with the first %1 cell.', REMOTE),
        cell: '%%remote\n',
        button: t('Insert a %1 cell', REMOTE),
        starts: t('Start a cluster')
      };
  }
}
