/** Where the panel stands in JupyterLab, and in Notebook 7, whose page has one document and forgets what was open. */
import type { DockLayout } from '@lumino/widgets';
import { tabStorage } from '../model/tabStorage.js';

const KEY = 'nbray:panel';
const AREAS = ['right', 'main', 'below'] as const;

/** Where a person wants the panel. */
export type Area = (typeof AREAS)[number];

/** The area in a value that may be any. */
export function areaIn(value: unknown): Area | null {
  return AREAS.find(area => area === value) ?? null;
}

/** What the shell is told. */
export interface IPlaceInShell {
  area: 'right' | 'main' | 'down';
  mode?: DockLayout.InsertMode;
}

/** The place for an area. Without tabs beside the document, what is wanted there stands at the right side. */
export function placeFor(area: Area, hasTabs: boolean): IPlaceInShell {
  if (area === 'right' || (area === 'main' && !hasTabs)) {
    return { area: 'right' };
  }
  if (area === 'below') {
    return hasTabs ? { area: 'main', mode: 'split-bottom' } : { area: 'down' };
  }
  return { area: 'main', mode: 'split-right' };
}

/** Open the panel again after a reload, where nothing else does. `shown`: where it can be seen now; null: nowhere. */
export function keepOverReload(shown: () => Area | null, show: (area: Area) => void): void {
  const storage = tabStorage();
  const area = areaIn(storage?.getItem(KEY));
  if (area !== null) {
    show(area);
  }
  window.addEventListener('pagehide', () => {
    try {
      storage?.setItem(KEY, shown() ?? '');
    } catch {
      // A full storage: it stays closed then.
    }
  });
}
