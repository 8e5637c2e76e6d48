/** What a pointer does to a table: moves the edges of columns, marks rows; a click is left to the elements. */
import { BasicMouseHandler, type DataGrid } from '@lumino/datagrid';
import { Platform } from '@lumino/domutils';

/** How near an edge the pointer takes it; as DataGrid has it. */
const NEAR_LEFT = 5;
const NEAR_RIGHT = 6;
/** Pixels after which a press is no click any more. */
const DRAG = 4;

/** The mouse handler of tables. */
export class TableMouse extends BasicMouseHandler {
  /** `onHover` is told what is under the pointer: a row, the heads, nothing. */
  constructor(
    private readonly _layer: HTMLElement,
    private readonly _onHover: (at: number | 'head' | null) => void
  ) {
    super();
  }

  override onMouseHover(grid: DataGrid, event: MouseEvent): void {
    this._last = event;
    const hit = grid.hitTest(event.clientX, event.clientY);
    this._layer.style.cursor = isAtEdge(hit) ? 'ew-resize' : '';
    this._onHover(hit.region === 'body' ? hit.row : hit.region === 'column-header' ? 'head' : null);
  }

  override onMouseLeave(): void {
    this._last = null;
    this._layer.style.cursor = '';
    this._onHover(null);
  }

  /** The rows have moved under a pointer that stands still. */
  again(grid: DataGrid): void {
    if (this._last !== null && this.pressData === null) {
      this.onMouseHover(grid, this._last);
    }
  }

  override onMouseDown(grid: DataGrid, event: MouseEvent): void {
    const hit = grid.hitTest(event.clientX, event.clientY);
    const isEdge = isAtEdge(hit);
    // A click on the head of a column that comes of this press sorts nothing.
    this._layer.toggleAttribute('data-edge', isEdge);
    if (isEdge) {
      super.onMouseDown(grid, event);
    } else if (hit.region === 'body') {
      if (event.shiftKey || Platform.accelKey(event)) {
        super.onMouseDown(grid, event);
      } else {
        // While DataGrid marks, a sheet over the page catches the pointer: it begins when this turns out to be no click.
        this._pressed = event;
        const { row, column } = hit;
        const one = { r1: row, r2: row, c1: column, c2: column };
        const cursor = { cursorRow: row, cursorColumn: column };
        grid.selectionModel?.select({ ...one, ...cursor, clear: 'all' });
      }
    }
  }

  override onMouseMove(grid: DataGrid, event: MouseEvent): void {
    const from = this._pressed;
    if (from !== null) {
      if (Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) < DRAG) {
        return;
      }
      this._pressed = null;
      super.onMouseDown(grid, from);
    }
    super.onMouseMove(grid, event);
  }

  override release(): void {
    this._pressed = null;
    super.release();
  }

  private _last: MouseEvent | null = null;
  private _pressed: MouseEvent | null = null;
}

function isAtEdge({ region, column, x, width }: DataGrid.HitTestResult): boolean {
  return region === 'column-header' && ((column > 0 && x <= NEAR_LEFT) || width - x <= NEAR_RIGHT);
}
