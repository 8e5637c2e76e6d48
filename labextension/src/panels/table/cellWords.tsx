/** A cell of a table as elements: what the canvas below draws, for assistive technology, for the focus and for clicks. */
import type { ReactElement } from 'react';
import type { ICell, Piece } from '../../graph/cellContent.js';
import { StateShape } from '../shapes.js';
import { Link } from '../sentence.js';

/** What stands in it. */
export function CellWords({ cell }: { cell: ICell }): ReactElement {
  return (
    <>
      {cell.pieces.map((piece, n) => (
        <PieceWords key={n} piece={piece} />
      ))}
    </>
  );
}

function PieceWords({ piece }: { piece: Piece }): ReactElement {
  switch (piece.kind) {
    case 'text':
      return <>{piece.text}</>;
    case 'shape':
      return <StateShape look={piece.look} />;
    case 'link':
      return <Link text={piece.text} onClick={piece.onClick} />;
    case 'marks':
      return (
        <span className="nbray-lane" role="img" aria-label={piece.words} title={piece.words} />
      );
  }
}
