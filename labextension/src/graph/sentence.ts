/** A sentence of the kernel, cut where it names a cell or a function, so that those can be links. Pure. */

/** A piece of a sentence. */
export interface IPiece {
  text: string;
  /** The number of a cell that it names ... */
  cell?: number;
  /** ... or the name of a function. */
  name?: string;
}

/** Functions that are looked for; a notebook with more has links to the first of them only. */
const MAX_NAMES = 300;

/** Cut a sentence; `names`: of functions that can be shown. */
export function pieces(sentence: string, names: readonly string[]): IPiece[] {
  const known = names
    .filter(name => /^[\w.]+$/.test(name))
    .slice(0, MAX_NAMES)
    .sort((a, b) => b.length - a.length)
    .map(name => name.replaceAll('.', '\\.'));
  const parts = ['In\\[(\\d+)\\](?::(\\d+))?', '\\bcell (\\d+)\\b'];
  if (known.length > 0) {
    parts.push(`(?<![\\w.])(${known.join('|')})(?![\\w.]*\\w)`);
  }
  const found: IPiece[] = [];
  let from = 0;
  for (const match of sentence.matchAll(new RegExp(parts.join('|'), 'g'))) {
    if (match.index > from) {
      found.push({ text: sentence.slice(from, match.index) });
    }
    from = match.index + match[0].length;
    const [whole, cell, line, other, name] = match;
    const number = cell ?? other;
    if (number !== undefined) {
      found.push({ text: placeWords(Number(number), line), cell: Number(number) });
    } else {
      found.push({ text: whole, name: name ?? whole });
    }
  }
  if (from < sentence.length) {
    found.push({ text: sentence.slice(from) });
  }
  return found;
}

/** `cell 8, line 4` */
function placeWords(cell: number, line: string | undefined): string {
  return line === undefined ? `cell ${cell}` : `cell ${cell}, line ${line}`;
}
