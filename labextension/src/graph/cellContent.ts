/** What stands in a cell of a table, told once: a canvas draws it, and the page says it in elements. Pure. */
import type { IStateLook } from './states.js';

/** A piece of it. */
export type Piece =
  | { kind: 'text'; text: string; isDim?: boolean }
  /** The shape of a state, in its colour. */
  | { kind: 'shape'; look: IStateLook }
  | { kind: 'link'; text: string; onClick: () => void }
  /** A mark for each of many, in colours that CSS variables name; the last ones count most. */
  | { kind: 'marks'; colors: readonly string[]; words: string };

/** A cell. */
export interface ICell {
  pieces: readonly Piece[];
  /** What it says in full, where that is more than it shows. */
  full?: string;
}

/** A cell of a few words. */
export function plainCell(text: string | number, full?: string): ICell {
  return { pieces: [{ kind: 'text', text: String(text) }], full };
}

/** All that it says, as it is read and copied. */
export function textOf(cell: ICell): string {
  return cell.full ?? cell.pieces.map(wordsOf).join('');
}

/** Whether two cells look alike; what their links do is no matter of looks. */
export function looksLike(a: ICell, b: ICell): boolean {
  return (
    a.full === b.full &&
    a.pieces.length === b.pieces.length &&
    a.pieces.every((piece, n) => isAlike(piece, b.pieces[n]!))
  );
}

/** Rows as a spreadsheet takes them: cells apart by tabs, rows by ends of lines. */
export function tabSeparated(rows: readonly (readonly ICell[])[]): string {
  return rows
    .map(cells => cells.map(cell => textOf(cell).replace(/[\t\r\n]+/g, ' ')).join('\t'))
    .join('\n');
}

function wordsOf(piece: Piece): string {
  return piece.kind === 'shape' ? '' : piece.kind === 'marks' ? piece.words : piece.text;
}

function isAlike(a: Piece, b: Piece): boolean {
  if (a.kind !== b.kind || wordsOf(a) !== wordsOf(b)) {
    return false;
  }
  switch (a.kind) {
    case 'shape':
      return a.look === (b as typeof a).look;
    case 'marks':
      return a.colors.join() === (b as typeof a).colors.join();
    case 'text':
      return a.isDim === (b as typeof a).isDim;
    default:
      return true;
  }
}
