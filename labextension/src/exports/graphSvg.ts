/** The graph as SVG: a card per function, lanes of actors, objects; every name as text. Pure. */
import { laneName, type ILanes } from '../graph/lanes.js';
import type { IObjectNode } from '../graph/objectNodes.js';
import {
  HEAD_HEIGHT,
  MARGIN,
  PITCH,
  edgeEnds,
  laneSpot,
  type ISceneEdge
} from '../graph/cardGeometry.js';
import type { ICard } from '../graph/cards.js';
import { Scene, type ISceneObject } from '../graph/scene.js';
import type { IPlace } from '../graph/layout.js';
import { FAILED, N_STATES, WAITS_FOR_INPUT } from '../graph/taskStates.js';
import type { IGroup, TaskStore } from '../graph/taskStore.js';
import { cardFacts, cardName, cardWords, failureWords, wordOf } from '../graph/words.js';
import { formatBytes, formatCount } from '../graph/format.js';
import { STATE_OF_CODE, BAR_ORDER } from '../graph/states.js';
import { escapeMarkup as e } from './escape.js';

/** Colours of a picture: CSS colours. */
export interface IPictureColors {
  /** By state code. */
  states: readonly string[];
  background: string;
  line: string;
  faint: string;
  text: string;
  dim: string;
  failSoft: string;
}

/** What a picture is made of, beside the tasks. */
export interface IPicture {
  colors: IPictureColors;
  /** `cell 12`, or nothing. */
  cellOf: (group: IGroup) => string;
  /** The objects that stand in it, and what is said of each. */
  objects?: readonly IObjectNode[] | undefined;
  objectWords?: (object: IObjectNode) => { name: string; facts: string };
  /** The class of the first error of a group; empty when it is not known. */
  failure?: (group: IGroup) => string;
}

const EDGE = 20;

/** The text of the picture, and its size. */
export function graphSvg(
  store: TaskStore,
  picture: IPicture
): { svg: string; width: number; height: number } {
  const { colors } = picture;
  const scene = new Scene(store);
  scene.sync();
  if (picture.objects !== undefined) {
    scene.showObjects(picture.objects);
  }
  const box = scene.bounds();
  const [width, height] = [box.width + 2 * EDGE, box.height + 2 * EDGE].map(Math.ceil) as [
    number,
    number
  ];
  const parts = [
    ...scene.edges.map(edge => edgeOf(edge, colors)),
    ...scene.cards.filter(card => card.total > 0).map(card => cardOf(store, scene, card, picture)),
    ...scene.objects.map((object, n) => objectOf(object, n, picture))
  ];
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
    `viewBox="${box.x - EDGE} ${box.y - EDGE} ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">` +
    `<rect x="${box.x - EDGE}" y="${box.y - EDGE}" width="${width}" height="${height}" fill="${colors.background}"/>` +
    `${parts.join('')}</svg>`;
  return { svg, width, height };
}

function edgeOf(edge: ISceneEdge, colors: IPictureColors): string {
  const { of } = edge;
  const { x1, y1, x2, y2, bend } = edgeEnds(edge);
  const starts = of.count === 0;
  const wide = starts ? 1.2 : Math.min(6, 1.4 + Math.log2(of.count + 1) * 0.55);
  return (
    `<path d="M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}" fill="none" ` +
    `stroke="${colors.line}" stroke-width="${wide.toFixed(2)}"${starts ? ' stroke-dasharray="4 4"' : ''}/>`
  );
}

function cardOf(store: TaskStore, scene: Scene, card: ICard, picture: IPicture): string {
  const { colors, cellOf } = picture;
  const place = scene.places[card.head]!;
  const lanes = scene.lanes(card.head);
  const facts = cardFacts(store, card, cellOf(card.groups[0]!), false);
  const [clip, high] = [`c${card.head}`, lanes === null ? place.height - 14 : 24];
  const words =
    lanes === null
      ? `<text x="10" y="18" font-weight="600" fill="${colors.text}">${e(cardName(store, card))}</text>` +
        `<text x="10" y="34" font-size="11" fill="${colors.dim}">${e(facts)}</text>`
      : `<text x="10" y="18" fill="${colors.text}"><tspan font-weight="600">${e(cardName(store, card))}</tspan>` +
        `<tspan dx="10" font-size="11" fill="${colors.dim}">${e(facts)}</tspan></text>`;
  return (
    `<g transform="translate(${place.x} ${place.y})"><title>${e(cardWords(store, card))}</title>` +
    `<rect width="${place.width}" height="${place.height}" rx="6" fill="${colors.background}" stroke="${colors.line}"/>` +
    `<clipPath id="${clip}"><rect width="${place.width - 12}" height="${place.height}"/></clipPath>` +
    `<g clip-path="url(#${clip})">${words}</g>${bar(card, colors, place.width - 20, high)}` +
    `${lanes === null ? '' : lanesIn(store, lanes, place.width, picture)}` +
    `${card.counts[FAILED]! > 0 ? failuresOf(card, place, picture) : ''}</g>`
  );
}

/** What has failed, at the lower edge of its card, as on the canvas. */
function failuresOf(card: ICard, place: IPlace, { colors, failure }: IPicture): string {
  const words = failureWords(card, group => failure?.(group) ?? '');
  const width = place.width - 16;
  const [y, red] = [place.height - 6, colors.states[FAILED]!];
  return (
    `<svg x="8" y="${y}" width="${width}" height="18"><title>${e(words)}</title>` +
    `<rect x=".5" y=".5" width="${width - 1}" height="17" rx="4" fill="${colors.failSoft}" stroke="${red}"/>` +
    `<path d="M7.6 5.6l6.8 6.8m0 -6.8l-6.8 6.8" fill="none" stroke="${red}" stroke-width="1.8"/>` +
    `<text x="19" y="13" font-size="11" fill="${colors.text}">${e(words)}</text></svg>`
  );
}

/** The lanes of actors: their names, the shapes of their newest calls, and how many calls there are. */
function lanesIn(store: TaskStore, lanes: ILanes, width: number, picture: IPicture): string {
  const { colors } = picture;
  const origin = { x: 0, y: 0, width, height: 0, rank: 0 };
  return lanes.lanes
    .map(({ worker, tasks, total, y }) => {
      const top = HEAD_HEIGHT + y;
      const calls = tasks.map((task, n) => {
        const spot = laneSpot(origin, lanes, y, n);
        return shape(store.state[task]!, spot.x, spot.y, store.title(task), colors);
      });
      const name = laneName(store, worker);
      return (
        `<rect x="${MARGIN / 2}" y="${top - 1}" width="${width - MARGIN}" height="${PITCH + 2}" fill="${colors.faint}"/>` +
        `<text x="${MARGIN / 2 + 6}" y="${top + 9}" font-size="10" fill="${colors.text}">` +
        `${e(name.length > 13 ? `${name.slice(0, 12)}…` : name)}<title>${e(name)}</title></text>${calls.join('')}` +
        `<text x="${width - MARGIN / 2 - 5}" y="${top + 9}" font-size="10" text-anchor="end" ` +
        `fill="${colors.dim}">${formatCount(total)}</text>`
      );
    })
    .join('');
}

/** A task, by the shape and colour of its state. */
function shape(code: number, x: number, y: number, title: string, colors: IPictureColors): string {
  const line = `fill="none" stroke="${colors.states[code]!}" stroke-width="1.4"`;
  const full = `fill="${colors.states[code]!}"`;
  const ring = `<circle cx="${x}" cy="${y}" r="3.7" `;
  const say = `<title>${e(`${title}, ${wordOf(code)}`)}</title>`;
  switch (STATE_OF_CODE[code]) {
    case 'RUNNING':
      return `<path d="M${x - 3.4} ${y - 4.2}L${x + 4.4} ${y}L${x - 3.4} ${y + 4.2}Z" ${full}>${say}</path>`;
    case 'FINISHED':
      return `${ring}${full}>${say}</circle>`;
    case 'FAILED':
      return `<path d="M${x - 3.6} ${y - 3.6}l7.2 7.2m0 -7.2l-7.2 7.2" ${line}>${say}</path>`;
    case 'CANCELLED':
      return `<g ${line}>${say}${ring}/><path d="M${x - 2.4} ${y + 2.4}l4.8 -4.8"/></g>`;
    default: {
      const dashes = code === WAITS_FOR_INPUT ? ' stroke-dasharray="1.8 1.4"' : '';
      return `${ring}${line}${dashes}>${say}</circle>`;
    }
  }
}

function objectOf(object: ISceneObject, n: number, picture: IPicture): string {
  const { colors, objectWords } = picture;
  const { x, y, width, height } = object.place;
  const { name, facts } = objectWords?.(object) ?? { name: object.name, facts: '' };
  const words = [formatBytes(object.size), facts].filter(Boolean).join(' · ');
  return (
    `<g transform="translate(${x} ${y})"><title>${e(`${name}, ${words}`)}</title>` +
    `<rect width="${width}" height="${height}" rx="${height / 2}" fill="${colors.background}" stroke="${colors.dim}"/>` +
    `<clipPath id="o${n}"><rect width="${width - 14}" height="${height}"/></clipPath><g clip-path="url(#o${n})">` +
    `<text x="16" y="18" font-weight="600" fill="${colors.text}">${e(name)}</text>` +
    `<text x="16" y="34" font-size="11" fill="${colors.dim}">${e(words)}</text></g></g>`
  );
}

function bar(card: ICard, colors: IPictureColors, width: number, y: number): string {
  let x = 10;
  let drawn = '';
  for (const state of BAR_ORDER) {
    for (let code = 0; code < N_STATES; code++) {
      const count = STATE_OF_CODE[code] === state ? card.counts[code]! : 0;
      if (count > 0) {
        const part = (width * count) / card.total;
        drawn += `<rect x="${x.toFixed(2)}" y="${y}" width="${part.toFixed(2)}" height="5" fill="${colors.states[code]!}"/>`;
        x += part;
      }
    }
  }
  return drawn;
}
