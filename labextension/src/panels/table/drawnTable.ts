/** A table drawn by DataGrid: only rows in view are asked for, and only what has changed is drawn again. */
import {
  BasicSelectionModel,
  DataGrid,
  DataModel,
  RendererMap,
  type CellGroup,
  type SelectionModel
} from '@lumino/datagrid';
import { ClipboardExt } from '@lumino/domutils';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { looksLike, tabSeparated, type ICell } from '../../graph/cellContent.js';
import { runsOf } from '../../graph/tableRows.js';
import { CellPainter, widthOf, type IPlace } from './cellPainter.js';
import { TableMouse } from './tableMouse.js';
import { HEAD, readTableLook, ROW, type ITableLook } from './tableLook.js';

/** What there is to draw. */
export interface ITable {
  count: number;
  columns: readonly { head: ICell; isNumber: boolean }[];
  /** Of what stands in the columns, between the gaps. */
  widths: readonly number[];
  /** Between two columns, and beside the first and the last. */
  gap: number;
  margin: number;
  /** The rows in their order; another array when that is another. */
  order: readonly unknown[];
  idAt: (row: number) => string;
  cellsAt: (row: number) => readonly ICell[];
  /** The id of the row that is chosen. */
  chosen: string | null;
}

/** What a person does to the table with a pointer. */
export interface ITableEvents {
  onWidth: (column: number, width: number) => void;
  /** Other rows would be copied. */
  onMarked: () => void;
  /** The page has other colours or letters. */
  onLook: () => void;
}

/** A row as it was drawn. */
interface IDrawnRow {
  cells: readonly ICell[];
  isChosen: boolean;
}

/** The rows for DataGrid. */
class Rows extends DataModel {
  constructor(
    public table: ITable,
    private readonly _cellsAt: (row: number) => readonly ICell[]
  ) {
    super();
  }

  /** While it is drawn, the rows in view: DataGrid takes them for one merged cell. */
  painted: { r1: number; r2: number } | null = null;

  override rowCount(region: DataModel.RowRegion): number {
    return region === 'body' ? this.table.count : 1;
  }

  override columnCount(region: DataModel.ColumnRegion): number {
    return region === 'body' ? this.table.columns.length : 0;
  }

  override data(region: DataModel.CellRegion, row: number, column: number): ICell | null {
    return (
      (region === 'body' ? this._cellsAt(row)[column] : this.table.columns[column]?.head) ?? null
    );
  }

  override groupCount(region: DataModel.CellRegion): number {
    return this.painted === null || this.columnCount('body') === 0 || region.startsWith('r')
      ? 0
      : 1;
  }

  override group(region: DataModel.CellRegion): CellGroup | null {
    const all = { c1: 0, c2: this.columnCount('body') - 1 };
    return region === 'body' ? { ...all, ...this.painted! } : { ...all, r1: 0, r2: 0 };
  }

  /** Tell of the change from one table to the next, as far as counts and heads go. */
  change(next: ITable): void {
    const before = this.table;
    this.table = next;
    const rows = next.count - before.count;
    const columns = next.columns.length - before.columns.length;
    if (rows !== 0) {
      const [index, span] = [Math.min(next.count, before.count), Math.abs(rows)];
      const type = rows > 0 ? 'rows-inserted' : 'rows-removed';
      this.emitChanged({ type, region: 'body', index, span });
    }
    if (columns !== 0) {
      const index = Math.min(next.columns.length, before.columns.length);
      const type = columns > 0 ? 'columns-inserted' : 'columns-removed';
      this.emitChanged({ type, region: 'body', index, span: Math.abs(columns) });
    }
    next.columns.forEach(({ head }, column) => {
      const old = before.columns[column];
      if (old === undefined || !looksLike(old.head, head)) {
        const one = { row: 0, column, rowSpan: 1, columnSpan: 1 };
        this.emitChanged({ type: 'cells-changed', region: 'column-header', ...one });
      }
    });
  }
}

/** The table, below a layer of elements that says the same and that takes what a person does. */
export class DrawnTable extends DataGrid {
  /** `layer`: the elements over it; `scroller`: the one among them that scrolls. */
  constructor(
    table: ITable,
    private readonly _layer: HTMLElement,
    private readonly _scroller: HTMLElement,
    private readonly _events: ITableEvents
  ) {
    super({
      headerVisibility: 'column',
      defaultSizes: { rowHeight: ROW, columnWidth: 1, rowHeaderWidth: 1, columnHeaderHeight: HEAD },
      minimumSizes: { rowHeight: ROW, columnWidth: 1, rowHeaderWidth: 1, columnHeaderHeight: HEAD }
    });
    this._look = readTableLook(_layer);
    this._rows = new Rows(table, row => this._drawnRow(row).cells);
    const painter = new CellPainter(
      () => this._look,
      column => this._placeOf(column),
      (region, row, column) => this._rows.data(region, row, column)
    );
    this._painter = painter;
    this.cellRenderers = new RendererMap({}, painter);
    this.dataModel = this._rows;
    this._setWidths();
    const marks = new BasicSelectionModel({ dataModel: this._rows, selectionMode: 'row' });
    marks.changed.connect(() => this._onMarks(marks));
    this.selectionModel = marks;
    this.mouseHandler = new TableMouse(_layer, row => this._hover(row));
    this.viewport.node.removeAttribute('tabindex'); // the focus is in the layer
    this._restyle();
    // Themes are a matter of the body's attributes and of style sheets that load after them.
    this._theme = new MutationObserver(() => setTimeout(() => this._recolour(), 50));
    this._theme.observe(document.body, { attributes: true });
    // Sizes of letters that a person has set stand at the root.
    this._theme.observe(document.documentElement, { attributes: true, attributeFilter: ['style'] });
    this._forced.addEventListener('change', this._recolour);
    // What happens to the elements happens to what is drawn below them; wheel and touch scroll the elements.
    for (const type of EVENTS) {
      _layer.addEventListener(type, this._handOn);
    }
  }

  /** How large the letters are, of the usual. */
  get scale(): number {
    return this._look.scale;
  }

  /** Draw this from now on. */
  draw(next: ITable): void {
    const before = this._rows.table;
    const drawn = this._drawn;
    this._drawn = new Map();
    this._isRestoring = true;
    this._rows.change(next);
    this._isRestoring = false;
    this._setWidths();
    if (before.order !== next.order && this._marked.size > 0) {
      this._restoreMarks();
    }
    const first = Math.floor(this.scrollY / ROW);
    const last = Math.min(next.count - 1, Math.floor((this.scrollY + this.pageHeight) / ROW));
    for (let row = first; row <= last; row++) {
      const now = this._drawnRow(row);
      const old = drawn.get(row);
      if (old !== undefined && !isSame(old, now)) {
        this._repaintRow(row);
      }
    }
    this.follow();
  }

  /** Show what the elements above show. */
  follow(): void {
    super.scrollTo(this._scroller.scrollLeft, this._scroller.scrollTop);
    queueMicrotask(() => (this.mouseHandler as TableMouse | null)?.again(this));
  }

  /**
   * DataGrid copies each cell from a buffer to the page; where no GPU helps, each copy takes two milliseconds. So all cells
   * in view are one merged cell to it, which the painter fills with those that need it.
   */
  protected override paintContent(x: number, y: number, width: number, height: number): void {
    const first = Math.floor(this.scrollY / ROW);
    const last = Math.floor((this.scrollY + this.viewportHeight) / ROW);
    const { count } = this._rows.table;
    // It leaves out merged cells of which only one line of pixels is to be drawn.
    const [beside, above] = [width < 2 ? 1 : 0, height < 2 ? 1 : 0];
    this._painter.dirty = { top: y - above, bottom: y + height + above };
    this._rows.painted = { r1: Math.max(0, first - 1), r2: Math.min(count - 1, last + 1) };
    super.paintContent(x - beside, y - above, width + 2 * beside, height + 2 * above);
    this._rows.painted = null;
  }

  /** DataGrid scrolls by itself while rows are marked by dragging. */
  override scrollTo(x: number, y: number): void {
    this._scroller.scrollTo(x, y);
    super.scrollTo(x, y);
  }

  /** An edge is dragged; or, without a size, the column is to be as wide as what stands in it. */
  override resizeColumn(
    _region: DataModel.ColumnRegion,
    column: number,
    size: number | null
  ): void {
    const { width } = this._placeOf(column);
    this._events.onWidth(
      column,
      size === null ? this._fitting(column) : width + size - this.columnSize('body', column)
    );
  }

  /** The elements have another size: what is drawn is as large, without their scroll bars. */
  resizeToLayer(): void {
    const { clientWidth, clientHeight } = this._scroller;
    this.node.style.width = `${clientWidth}px`;
    this.node.style.height = `${HEAD + clientHeight}px`;
    MessageLoop.sendMessage(this, Widget.ResizeMessage.UnknownSize);
    this.follow();
  }

  /** Whether a row is among those that would be copied. */
  isMarked(id: string): boolean {
    return this._marked.has(id);
  }

  /** Mark the rows from one to another, as the keyboard does. */
  mark(from: number, to: number): void {
    const rows = { r1: from, r2: to, c1: 0, c2: 0, cursorRow: from, cursorColumn: 0 };
    this.selectionModel!.select({ ...rows, clear: 'all' });
  }

  /** The row at which marking began; -1: none is marked. */
  get markedFrom(): number {
    return this.selectionModel!.cursorRow;
  }

  /** Rows that are marked go to the clipboard; also when they do not follow one another, which DataGrid would refuse. */
  override copyToClipboard(): void {
    const { table } = this._rows;
    const runs = runsOf(table.count, row => this._marked.has(table.idAt(row)));
    const rows = runs.flatMap(([first, last]) =>
      Array.from({ length: last - first + 1 }, (_, n) => table.cellsAt(first + n))
    );
    if (rows.length > 0) {
      ClipboardExt.copyText(tabSeparated(rows));
    }
  }

  override dispose(): void {
    this._theme.disconnect();
    this._forced.removeEventListener('change', this._recolour);
    for (const type of EVENTS) {
      this._layer.removeEventListener(type, this._handOn);
    }
    super.dispose();
  }

  /** The focus stays where it is: in the layer. */
  protected override onActivateRequest(): void {
    /* DataGrid would take it */
  }

  private readonly _handOn = (event: Event): void => {
    // A link is no place at which to begin marking.
    const isLink = (event.target as Element).closest('.nbray-link') !== null;
    if (event.type !== 'mousedown' || !isLink) {
      this.handleEvent(event);
    }
  };

  private _drawnRow(row: number): IDrawnRow {
    let drawn = this._drawn.get(row);
    if (drawn === undefined) {
      const { table } = this._rows;
      const isChosen = table.chosen !== null && table.idAt(row) === table.chosen;
      drawn = { cells: table.cellsAt(row), isChosen };
      this._drawn.set(row, drawn);
    }
    return drawn;
  }

  private _placeOf(column: number): IPlace {
    const { widths, columns, gap, margin } = this._rows.table;
    const isLast = column === columns.length - 1;
    const [left, width] = [column === 0 ? margin : gap / 2, widths[column] ?? 0];
    return {
      left,
      width,
      full: left + width + (isLast ? margin : gap / 2),
      isNumber: columns[column]?.isNumber === true,
      hasEdge: this._hovered === 'head' && !isLast
    };
  }

  private _setWidths(): void {
    this._rows.table.columns.forEach((_, column) => {
      const { full } = this._placeOf(column);
      if (this.columnSize('body', column) !== full) {
        super.resizeColumn('body', column, full);
      }
    });
  }

  /** As wide as the widest of what can be seen. */
  private _fitting(column: number): number {
    const { columns } = this._rows.table;
    const cells = [...this._drawn.values()].map(({ cells }) => cells[column]);
    const widths = [columns[column]?.head, ...cells].map(cell =>
      cell === undefined ? 0 : widthOf(this._look, cell)
    );
    return Math.ceil(Math.max(...widths)) + 1;
  }

  private _hover(next: number | 'head' | null): void {
    const before = this._hovered;
    if (next === before) {
      return;
    }
    this._hovered = next;
    for (const one of [before, next]) {
      if (one === 'head') {
        this.repaintRegion('column-header', 0, 0, 0, this._rows.table.columns.length - 1);
      } else if (one !== null) {
        this._repaintRow(one);
      }
    }
  }

  private _repaintRow(row: number): void {
    this.repaintRegion('body', row, 0, row, this._rows.table.columns.length - 1);
  }

  private readonly _recolour = (): void => {
    if (!this.isDisposed) {
      this._look = readTableLook(this._layer);
      this._restyle();
      this._events.onLook();
    }
  };

  private _restyle(): void {
    const { background, raised, marked } = this._look;
    this.style = {
      voidColor: background,
      rowBackgroundColor: row =>
        row === this._hovered || this._drawnRow(row).isChosen ? raised : background,
      selectionFillColor: marked
    };
  }

  /** A person marks other rows: they are kept by id, so that they stay marked when rows come and go. */
  private _onMarks(marks: SelectionModel): void {
    if (this._isRestoring) {
      return;
    }
    const { table } = this._rows;
    this._marked = new Set();
    for (const { r1, r2 } of marks.selections()) {
      for (let row = Math.min(r1, r2); row <= Math.max(r1, r2); row++) {
        this._marked.add(table.idAt(row));
      }
    }
    this._from = marks.cursorRow < 0 ? null : table.idAt(marks.cursorRow);
    this._events.onMarked();
  }

  private _restoreMarks(): void {
    const { table } = this._rows;
    const marks = this.selectionModel!;
    const runs = runsOf(table.count, row => this._marked.has(table.idAt(row)));
    const fromAt = ([first, last]: [number, number]): number => {
      for (let row = first; row <= last; row++) {
        if (table.idAt(row) === this._from) {
          return row;
        }
      }
      return -1;
    };
    const placed = runs.map(run => ({ run, from: fromAt(run) }));
    placed.sort((a, b) => Number(a.from >= 0) - Number(b.from >= 0)); // the last one is at the cursor
    this._isRestoring = true;
    marks.clear();
    for (const { run, from } of placed) {
      const [r1, r2] = run;
      const cursorRow = from < 0 ? r1 : from;
      marks.select({ r1, r2, c1: 0, c2: 0, cursorRow, cursorColumn: 0, clear: 'none' });
    }
    this._isRestoring = false;
  }

  private readonly _rows: Rows;
  private readonly _painter: CellPainter;
  private readonly _theme: MutationObserver;
  private readonly _forced = matchMedia('(forced-colors: active)');
  private _look: ITableLook;
  /** What is drawn, or would be when it is scrolled into view, since the last change. */
  private _drawn = new Map<number, IDrawnRow>();
  private _hovered: number | 'head' | null = null;
  private _marked = new Set<string>();
  private _from: string | null = null;
  private _isRestoring = false;
}

const EVENTS = ['mousedown', 'mousemove', 'mouseleave', 'dblclick', 'contextmenu'];

function isSame(a: IDrawnRow, b: IDrawnRow): boolean {
  return (
    a.isChosen === b.isChosen &&
    a.cells.length === b.cells.length &&
    a.cells.every((cell, n) => cell === b.cells[n] || looksLike(cell, b.cells[n]!))
  );
}
