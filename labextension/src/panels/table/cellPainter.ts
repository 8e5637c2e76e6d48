/** Draws the cells of a table: words, links, shapes of states, marks; cut with an ellipsis where there is no room. */
import { CellRenderer, type DataModel, type GraphicsContext } from '@lumino/datagrid';
import type { ICell, Piece } from '../../graph/cellContent.js';
import { SHAPE_LINES } from '../../graph/shapeLines.js';
import type { IStateLook } from '../../graph/states.js';
import { HEAD, ROW, textWidth, type ITableLook } from './tableLook.js';

const SHAPE = 14;
/** As in `style/panel.css`. */
const MARK = 4;
const MARK_STEP = MARK + 1;
const MARK_HEIGHT = 12;
const ELLIPSIS = '…';
/** No more of a text is measured: so many letters fit into no cell. */
const MOST = 1_000;

/** Where in a column its words stand. */
export interface IPlace {
  /** From the column's edge. */
  left: number;
  width: number;
  /** With what is at its sides. */
  full: number;
  isNumber: boolean;
  /** A line at its right edge shows that it can be moved. */
  hasEdge: boolean;
}

/** The renderer of all cells, those with the names of the columns among them. */
export class CellPainter extends CellRenderer {
  constructor(
    private readonly _look: () => ITableLook,
    private readonly _place: (column: number) => IPlace,
    private readonly _cellAt: (
      region: DataModel.CellRegion,
      row: number,
      column: number
    ) => ICell | null
  ) {
    super();
  }

  /** What is drawn again: cells outside need not be. */
  dirty = { top: 0, bottom: 0 };

  /** Draws all that is in view, from the first row and column on: it is one merged cell. */
  override paint(gc: GraphicsContext, config: CellRenderer.CellConfig): void {
    const isHead = config.region === 'column-header';
    const height = isHead ? HEAD : ROW;
    const [end, bottom] = [config.x + config.width, config.y + config.height];
    gc.font = this._look().font;
    gc.textBaseline = 'alphabetic';
    for (let x = config.x, column = config.column; x < end; column++) {
      const place = this._place(column);
      for (let y = config.y, row = config.row; y < bottom; y += height, row++) {
        if (y < this.dirty.bottom && y + height > this.dirty.top) {
          const cell = this._cellAt(config.region, row, column);
          if (cell !== null) {
            this._paintCell(gc, cell, place, x, y);
          }
        }
      }
      x += place.full;
      if (isHead && place.hasEdge) {
        gc.fillStyle = this._look().line;
        gc.fillRect(x - 1, config.y + 6, 1, HEAD - 13);
      }
    }
  }

  private _paintCell(
    gc: GraphicsContext,
    cell: ICell,
    { left, width, isNumber }: IPlace,
    x: number,
    y: number
  ): void {
    const look = this._look();
    const end = x + left + width;
    x += left + (isNumber ? Math.max(0, width - widthOf(look, cell)) : 0);
    for (const piece of cell.pieces) {
      if (x >= end) {
        break;
      }
      x += this._paintPiece(gc, look, piece, x, y, end - x);
    }
  }

  /** Returns how much room it took. */
  private _paintPiece(
    gc: GraphicsContext,
    look: ITableLook,
    piece: Piece,
    x: number,
    y: number,
    room: number
  ): number {
    switch (piece.kind) {
      case 'shape':
        paintShape(gc, piece.look, look.color(piece.look.color), x, y + (look.baseline - 11));
        break;
      case 'marks':
        paintMarks(gc, piece.colors.map(look.color), x, y + (look.baseline - 11), room);
        break;
      default:
        gc.fillStyle =
          piece.kind === 'link' ? look.link : piece.isDim === true ? look.dim : look.text;
        gc.fillText(cut(gc, piece.text, room), x, y + look.baseline);
    }
    return pieceWidth(look, piece);
  }
}

/** The room that a cell takes when nothing is cut. */
export function widthOf(look: ITableLook, cell: ICell): number {
  return cell.pieces.reduce((sum, piece) => sum + pieceWidth(look, piece), 0);
}

function pieceWidth(look: ITableLook, piece: Piece): number {
  switch (piece.kind) {
    case 'shape':
      return SHAPE;
    case 'marks':
      return Math.max(0, piece.colors.length * MARK_STEP - 1);
    default:
      return textWidth(look.font, piece.text.slice(0, MOST));
  }
}

function paintShape(
  gc: GraphicsContext,
  { shape }: IStateLook,
  color: string,
  x: number,
  y: number
): void {
  const { strokes, line, dash } = SHAPE_LINES[shape];
  gc.beginPath();
  for (const stroke of strokes) {
    if (stroke[0] === 'O') {
      const [, cx, cy, r] = stroke;
      gc.moveTo(x + cx + r, y + cy);
      gc.arc(x + cx, y + cy, r, 0, 2 * Math.PI);
    } else if (stroke[0] === 'Z') {
      gc.closePath();
    } else if (stroke[0] === 'M') {
      gc.moveTo(x + stroke[1], y + stroke[2]);
    } else {
      gc.lineTo(x + stroke[1], y + stroke[2]);
    }
  }
  if (line === 0) {
    gc.fillStyle = color;
    gc.fill();
    return;
  }
  gc.strokeStyle = color;
  gc.lineWidth = line;
  gc.setLineDash([...(dash ?? [])]);
  gc.stroke();
  gc.setLineDash([]);
}

/** The newest is at the right: where not all have room, the oldest are left out. */
function paintMarks(
  gc: GraphicsContext,
  colors: readonly string[],
  x: number,
  y: number,
  room: number
): void {
  colors.slice(-Math.floor((room + 1) / MARK_STEP) || colors.length).forEach((color, n) => {
    gc.fillStyle = color;
    gc.fillRect(x + n * MARK_STEP, y, MARK, MARK_HEIGHT);
  });
}

/** As much of a text as has room, with an ellipsis when that is not all. */
function cut(gc: GraphicsContext, text: string, room: number): string {
  const width = (some: string): number => gc.measureText(some).width;
  const start = text.slice(0, MOST);
  if (start.length === text.length && width(text) <= room) {
    return text;
  }
  let [fits, not] = [0, start.length];
  while (not - fits > 1) {
    const middle = (fits + not) >> 1;
    if (width(start.slice(0, middle) + ELLIPSIS) <= room) {
      fits = middle;
    } else {
      not = middle;
    }
  }
  // Not through the middle of a character that takes two units.
  const end = /[\ud800-\udbff]/.test(start.charAt(fits - 1)) ? fits - 1 : fits;
  return width(ELLIPSIS) > room ? '' : start.slice(0, end) + ELLIPSIS;
}
