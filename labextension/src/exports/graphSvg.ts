/** The graph as SVG: every group as a card, every name as text. Pure. */
import { Scene } from '../graph/scene.js';
import { N_STATES, type IGroup, type TaskStore } from '../graph/taskStore.js';
import { STATE_OF_CODE, groupWords, nameOf } from '../graph/words.js';
import { formatCount } from '../model/format.js';
import { BAR_ORDER } from '../model/states.js';
import { escapeMarkup } from './escape.js';

/** Colours of a picture: CSS colours. */
export interface IPictureColors {
  /** By state code. */
  states: readonly string[];
  background: string;
  line: string;
  text: string;
  dim: string;
}

const EDGE = 20;

/** The text of the picture, and its size. */
export function graphSvg(
  store: TaskStore,
  colors: IPictureColors,
  cellOf: (group: IGroup) => string
): { svg: string; width: number; height: number } {
  const scene = new Scene(store);
  scene.sync();
  const box = scene.bounds();
  const [width, height] = [box.width + 2 * EDGE, box.height + 2 * EDGE].map(Math.ceil) as [
    number,
    number
  ];
  const parts: string[] = [];
  for (const edge of scene.edges) {
    const { from: a, to: b } = edge;
    {
      const [x1, y1, x2, y2] = [a.x + a.width, a.y + a.height / 2, b.x, b.y + b.height / 2];
      const bend = Math.max(24, Math.abs(x2 - x1) / 2);
      const starts = edge.of.count === 0;
      const wide = starts ? 1.2 : Math.min(6, 1.4 + Math.log2(edge.of.count + 1) * 0.55);
      parts.push(
        `<path d="M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}" fill="none" ` +
          `stroke="${colors.line}" stroke-width="${wide.toFixed(2)}"${starts ? ' stroke-dasharray="4 4"' : ''}/>`
      );
    }
  }
  for (const group of store.groups) {
    const place = scene.places[group.index];
    if (place === undefined || group.tasks.length === 0) {
      continue;
    }
    const name = escapeMarkup(nameOf(store, group));
    const facts = [formatCount(group.tasks.length), cellOf(group)].filter(Boolean).join(' · ');
    parts.push(
      `<g transform="translate(${place.x} ${place.y})"><title>${escapeMarkup(groupWords(store, group))}</title>` +
        `<rect width="${place.width}" height="${place.height}" rx="6" fill="${colors.background}" stroke="${colors.line}"/>` +
        `<clipPath id="c${group.index}"><rect width="${place.width - 12}" height="${place.height}"/></clipPath>` +
        `<g clip-path="url(#c${group.index})"><text x="10" y="18" font-weight="600" fill="${colors.text}">${name}</text>` +
        `<text x="10" y="34" font-size="11" fill="${colors.dim}">${escapeMarkup(facts)}</text></g>` +
        `${bar(group, colors, place.width - 20, place.height - 14)}</g>`
    );
  }
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
    `viewBox="${box.x - EDGE} ${box.y - EDGE} ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">` +
    `<rect x="${box.x - EDGE}" y="${box.y - EDGE}" width="${width}" height="${height}" fill="${colors.background}"/>` +
    `${parts.join('')}</svg>`;
  return { svg, width, height };
}

function bar(group: IGroup, colors: IPictureColors, width: number, y: number): string {
  let x = 10;
  let drawn = '';
  for (const state of BAR_ORDER) {
    for (let code = 0; code < N_STATES; code++) {
      const count = STATE_OF_CODE[code] === state ? group.counts[code]! : 0;
      if (count > 0) {
        const part = (width * count) / group.tasks.length;
        drawn += `<rect x="${x.toFixed(2)}" y="${y}" width="${part.toFixed(2)}" height="5" fill="${colors.states[code]!}"/>`;
        x += part;
      }
    }
  }
  return drawn;
}
