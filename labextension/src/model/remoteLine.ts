/** The line `%%remote` of a cell's text. Pure. */
import { t } from '../text.js';

/** Whether a cell runs on the cluster. */
export function isRemote(source: string): boolean {
  return /^%%remote(?=\s|$)/.test(source);
}

/** The text with the line written, or removed with its options. */
export function toggleRemote(source: string): string {
  return isRemote(source) ? source.replace(/^[^\n]*\n?/, '') : `%%remote\n${source}`;
}

/** Why the line cannot be written; null: it can. */
export function whyNotRemote(source: string): string | null {
  const magic = /^%%(\w+)/.exec(source)?.[1];
  return magic !== undefined && magic !== 'remote'
    ? t('This cell begins with %1; a cell has one such line.', `%%${magic}`)
    : null;
}
