/** The states of nodes, workers, actors and placement groups in the language of the page. Pure. */
import { t } from '../text.js';

/** `PENDING_CREATION` is `pending creation`; a state that is not known here is written so, too. */
export function stateName(state: string): string {
  const plain = state.toLowerCase().replaceAll('_', ' ');
  const words: Record<string, string> = {
    actor: t('actor'),
    alive: t('alive'),
    created: t('created'),
    dead: t('dead'),
    idle: t('idle'),
    leased: t('leased'),
    pending: t('pending'),
    'pending creation': t('pending creation'),
    removed: t('removed'),
    rescheduling: t('rescheduling'),
    restarting: t('restarting'),
    running: t('running'),
    starting: t('starting'),
    stopping: t('stopping')
  };
  return words[plain] ?? plain;
}
