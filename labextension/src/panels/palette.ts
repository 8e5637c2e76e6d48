/** Colours for canvases, taken from the theme when it changes. */
import { STATES } from '../graph/states.js';
import { STATE_OF_CODE } from '../graph/states.js';

/** What a canvas draws with. */
export interface IPalette {
  /** By state code. */
  states: string[];
  background: string;
  card: string;
  line: string;
  faint: string;
  text: string;
  dim: string;
  accent: string;
  failSoft: string;
  font: string;
  size: number;
  gpu: string;
  memory: string;
  store: string;
}

/** The hues that tell functions apart in the timeline (and nowhere else). */
const HUES = [
  '#5b8ff9',
  '#61c0a3',
  '#e8b04b',
  '#b08fdb',
  '#f08a9b',
  '#7dc3e8',
  '#a8b85c',
  '#d99a6c'
];

/** The colour of a function in the timeline. */
export function hueOf(func: number): string {
  return HUES[func % HUES.length]!;
}

/** Read the colours that apply to an element now. */
export function readPalette(element: HTMLElement): IPalette {
  const style = getComputedStyle(element);
  const value = (name: string, otherwise: string): string =>
    style.getPropertyValue(name).trim() || otherwise;
  const look = new Map(STATES.map(({ state, color }) => [state, value(color, '#888')]));
  return {
    states: STATE_OF_CODE.map(state => look.get(state)!),
    background: value('--jp-layout-color1', '#fff'),
    card: value('--jp-layout-color1', '#fff'),
    line: value('--jp-border-color1', '#bdbdbd'),
    // Names stand on it: in the themes of high contrast, borders are as light as words are.
    faint: value('--jp-layout-color2', '#eee'),
    text: value('--jp-ui-font-color1', '#212121'),
    dim: value('--jp-ui-font-color2', '#666'),
    accent: value('--jp-brand-color1', '#1976d2'),
    failSoft: value('--nbray-fail-soft', '#fbe9dd'),
    font: value('--jp-ui-font-family', 'system-ui, sans-serif'),
    size: 12,
    gpu: value('--nbray-gpu', '#56b4e9'),
    memory: value('--nbray-memory', '#cc79a7'),
    store: value('--nbray-store', '#e69f00')
  };
}

/** Call back when colours may be others; returns what ends it. */
export function watchTheme(changed: () => void): () => void {
  let timer = 0;
  // Themes are a matter of the body's attributes and of style sheets that load after them.
  const observer = new MutationObserver(() => {
    clearTimeout(timer);
    timer = window.setTimeout(changed, 50);
  });
  observer.observe(document.body, { attributes: true });
  return () => {
    observer.disconnect();
    clearTimeout(timer);
  };
}
