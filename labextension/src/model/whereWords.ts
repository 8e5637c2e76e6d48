/** Where a value is. Pure. */
import { t } from '../text.js';

/** Where an object is, as a person reads it. */
export function whereWords(where: string): string {
  const words: Record<string, string> = {
    store: t('in the object store'),
    disk: t('on disk'),
    lost: t('lost'),
    'this process': t('in the notebook’s process')
  };
  return words[where] ?? where;
}

/** The same in one word, for a column that is called so. */
export function whereInShort(where: string): string {
  const words: Record<string, string> = {
    store: t('store'),
    disk: t('disk'),
    lost: t('lost'),
    'this process': t('notebook')
  };
  return words[where] ?? where;
}
