/**
 * A table of any rows: sorted by any column, filtered. DataGrid draws it; over what is drawn lies a grid of elements that
 * nobody sees, which says the same to assistive technology and takes focus, keys and clicks.
 */
import { Widget } from '@lumino/widgets';
import {
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  type KeyboardEvent,
  type MouseEvent,
  type ReactElement
} from 'react';
import { plainCell, type ICell } from '../graph/cellContent.js';
import { columnWidths, withWidth, type IColumnWidth } from '../graph/columnWidths.js';
import { formatCount } from '../graph/format.js';
import { rowAfterKey } from '../graph/rowKeys.js';
import { ordered, type ISortedColumn } from '../graph/tableRows.js';
import { CellWords } from './table/cellWords.js';
import { DrawnTable, type ITable } from './table/drawnTable.js';
import { ROW } from './table/tableLook.js';
import { t } from '../text.js';

/** Narrower tables leave out some columns; and some more, where there is hardly any room. */
const ROOMY = 560;
const TIGHT = 390;
/** Between columns, and at the sides; and where there is less room. */
const GAP = 16;
const SMALL_GAP = 8;
const MARGIN = 14;
const SMALL_MARGIN = 10;
/** By how much a key moves the edge of a column. */
const STEP = 10;
/** The class of cells with numbers. */
const NUMBER = 'nbray-mod-number';
/** Rows beyond the edges, so that scrolling finds them there. */
const SPARE = 6;

/** A column. */
export interface IColumn<R> extends ISortedColumn<R> {
  /** What is shown; the key when there is none. `isTight`: there is hardly any room. */
  show?: (row: R, isTight: boolean) => ICell | string | number;
  /** Its width; all that are shown where there is little room fit into 300 pixels. */
  width: IColumnWidth;
  /** A number: its digits stand under each other. */
  isNumber?: boolean;
  /** Left out where there is little room, or only where there is hardly any. */
  extra?: boolean | 'tight';
  /** Its width where there is hardly any room. */
  tight?: number;
}

/**
 * The rows. One of them is in the order of tabs; from there arrow keys, Home, End, PageUp and PageDown
 * go through all of them, drawn or not, and Enter or a click chooses one. With Shift, keys and clicks mark several;
 * Ctrl+C copies what is marked.
 */
export function RowTable<R>(props: {
  label: string;
  /** What there is to say when there are none. */
  empty: string;
  rows: readonly R[];
  columns: readonly IColumn<R>[];
  id: (row: R) => string;
  query?: string;
  selected?: string | null;
  onSelect?: (row: R) => void;
  /** The column by which it is sorted at first, the largest first; without it, as the rows come. */
  first?: string;
  /** What stands below it, of so many rows that are shown. */
  foot?: (shown: number) => string;
}): ReactElement {
  const { label, rows, columns, id, query = '', selected = null, onSelect } = props;
  const [sort, setSort] = useState({ name: props.first ?? '', down: true });
  const [scroll, setScroll] = useState(0);
  const [{ height, width, scale }, setSize] = useState({ height: 400, width: ROOMY, scale: 1 });
  const [active, setActive] = useState<string | null>(null);
  /** Widths that a person has set, by the name of the column. */
  const [set, setSet] = useState<ReadonlyMap<string, number>>(new Map());
  const [, setMarks] = useState(0);
  const below = useRef<HTMLDivElement>(null);
  const layer = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLDivElement>(null);
  const host = useRef<HTMLDivElement>(null);
  const drawn = useRef<DrawnTable | null>(null);
  /** The row that gets the focus once it is there. */
  const goTo = useRef<number | null>(null);
  const inside = useRef(false);
  const order = useMemo(
    () => ordered(rows, columns, query, sort),
    // The columns are made anew with every drawing; what they mean stays.
    [rows, query, sort]
  );
  // Rows that come before what a person looks at move nothing of it, be it the row with the focus or the first that is seen.
  const last = useRef({ order, query, sort });
  const before = last.current;
  const isNews = before.order !== order && before.query === query && before.sort === sort;
  const looksAt =
    isNews && scroll > 0 ? { scroll, height, focus: inside.current ? active : null } : null;
  const moved = looksAt === null ? 0 : shiftOf(before.order, order, id, looksAt) * ROW;
  const top = Math.max(0, Math.floor((scroll + moved) / ROW) - SPARE);
  const isTight = width < TIGHT * scale;
  const isRoomy = width >= ROOMY * scale;
  const gap = isRoomy ? GAP : SMALL_GAP;
  const margin = isTight ? SMALL_MARGIN : MARGIN;
  const shownColumns = columns.filter(({ extra }) =>
    extra === true ? isRoomy : extra !== 'tight' || !isTight
  );
  const setWidths = shownColumns.map(({ name }) => set.get(name));
  const widths = columnWidths(
    shownColumns.map(({ width: { least, share }, tight }) =>
      isTight && tight !== undefined
        ? { least: Math.ceil(tight * scale) }
        : { least: Math.ceil(least * scale), share }
    ),
    setWidths,
    width - 2 * margin - gap * (shownColumns.length - 1)
  );
  const setWidth = (column: number, to: number): void => {
    const next = withWidth(widths, setWidths, column, to);
    setSet(
      new Map([
        ...set,
        ...shownColumns.flatMap(({ name }, n) =>
          next[n] === undefined ? [] : [[name, next[n]] as const]
        )
      ])
    );
  };
  const cells = new Map<number, readonly ICell[]>();
  const cellsAt = (row: number): readonly ICell[] => {
    const one = order[row];
    const known =
      cells.get(row) ??
      (one === undefined ? [] : shownColumns.map(column => cellOf(column, one, isTight)));
    cells.set(row, known);
    return known;
  };
  const table: ITable = {
    count: order.length,
    columns: shownColumns.map(({ name, isNumber }) => ({
      head: {
        pieces: [
          {
            kind: 'text',
            text: sort.name !== name ? name : `${name}${sort.down ? ' ▾' : ' ▴'}`,
            isDim: true
          }
        ]
      },
      isNumber: isNumber === true
    })),
    widths,
    gap,
    margin,
    order,
    idAt: row => id(order[row]!),
    cellsAt,
    chosen: selected
  };
  const events = useRef({ setWidth });
  events.current = { setWidth };

  useLayoutEffect(() => {
    const box = host.current!;
    const grid = new DrawnTable(table, layer.current!, box, {
      onWidth: (column, to) => events.current.setWidth(column, to),
      onMarked: () => setMarks(count => count + 1),
      onLook: () => resize()
    });
    drawn.current = grid;
    Widget.attach(grid, below.current!);
    const resize = (): void => {
      grid.resizeToLayer();
      setSize({ height: box.clientHeight, width: box.clientWidth, scale: grid.scale });
    };
    resize();
    const observer = new ResizeObserver(resize);
    observer.observe(box);
    return () => {
      observer.disconnect();
      drawn.current = null;
      grid.dispose();
    };
  }, []);
  useLayoutEffect(() => {
    last.current = { order, query, sort };
    if (moved !== 0) {
      host.current!.scrollTop += moved;
      setScroll(host.current!.scrollTop);
    }
    drawn.current?.draw(table);
  });
  useEffect(() => {
    const box = host.current!;
    // The links of one row are in the order of tabs, as the row is: else they would be in the way of what comes after.
    for (const link of box.querySelectorAll<HTMLElement>('[role=row] button')) {
      link.tabIndex = link.closest<HTMLElement>('[role=row]')!.tabIndex;
    }
    if (goTo.current !== null) {
      const row = box.querySelector<HTMLElement>(`[aria-rowindex="${goTo.current + 2}"]`);
      if (row !== null) {
        goTo.current = null;
        row.focus({ preventScroll: true });
      }
    } else if (inside.current && document.activeElement === document.body) {
      box.focus({ preventScroll: true }); // its row has been scrolled away
    }
  });
  const shown = order.slice(top, top + Math.ceil(height / ROW) + 2 * SPARE);
  const entry = shown.some(row => id(row) === active) ? active : shown[0] && id(shown[0]);
  const template = {
    gridTemplateColumns: widths.map(one => `${one}px`).join(' '),
    columnGap: gap,
    paddingInline: margin,
    width: widths.reduce((sum, one) => sum + one + gap, 2 * margin - gap)
  };

  const onKey = (event: KeyboardEvent<HTMLElement>): void => {
    const target = event.target as HTMLElement;
    const here = target.getAttribute('role') === 'row' || target === host.current;
    const at = order.findIndex(row => id(row) === active);
    const next = here ? rowAfterKey(event.key, at, order.length, Math.floor(height / ROW)) : null;
    const accel = event.ctrlKey || event.metaKey;
    if (next !== null) {
      const box = host.current!;
      setActive(id(order[next]!));
      goTo.current = next;
      if (event.shiftKey) {
        const from = drawn.current!.markedFrom;
        drawn.current!.mark(from < 0 ? Math.max(0, at) : from, next);
      }
      // The row may not be there yet: it is once the box has scrolled there.
      const y = next * ROW;
      box.scrollTop = Math.max(y + ROW - box.clientHeight, Math.min(box.scrollTop, y));
      setScroll(box.scrollTop);
      event.preventDefault();
    } else if (here && at >= 0 && (event.key === 'Enter' || event.key === ' ')) {
      drawn.current!.mark(at, at);
      onSelect?.(order[at]!);
      event.preventDefault();
    } else if (here && accel && event.key === 'a') {
      drawn.current!.mark(0, order.length - 1);
      event.preventDefault();
    } else if (accel && event.key === 'c' && window.getSelection()?.isCollapsed !== false) {
      if (drawn.current!.markedFrom < 0 && at >= 0) {
        drawn.current!.mark(at, at);
      }
      drawn.current!.copyToClipboard();
      event.preventDefault();
    }
  };
  const onHeadKey = (event: KeyboardEvent<HTMLElement>, column: number): void => {
    const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (event.shiftKey && step !== undefined) {
      setWidth(column, widths[column]! + step);
      event.preventDefault();
    }
  };
  const onRow = (event: MouseEvent<HTMLElement>, row: R): void => {
    const isMarking = event.shiftKey || event.ctrlKey || event.metaKey;
    if ((event.target as Element).closest('button') === null) {
      event.currentTarget.focus({ preventScroll: true });
    }
    if (!isMarking) {
      onSelect?.(row);
    }
  };
  const onHead = (event: MouseEvent<HTMLElement>, name: string): void => {
    event.currentTarget.focus({ preventScroll: true });
    // A press at an edge is no wish to sort; of a key's click there is no press.
    if (event.detail === 0 || !layer.current!.hasAttribute('data-edge')) {
      setSort({ name, down: sort.name === name ? !sort.down : false });
    }
  };

  return (
    <div
      className="nbray-table"
      role="grid"
      aria-label={label}
      aria-rowcount={order.length + 1}
      aria-readonly={true}
      aria-multiselectable={true}
    >
      <div className="nbray-drawn" ref={below} dir="ltr" aria-hidden="true" />
      <div className="nbray-over" ref={layer} dir="ltr" role="presentation" onMouseOver={tellCut}>
        <div
          className="nbray-row-head"
          ref={head}
          role="presentation"
          style={{ width }}
          onScroll={({ currentTarget }) => (host.current!.scrollLeft = currentTarget.scrollLeft)}
        >
          <div className="nbray-row" role="row" aria-rowindex={1} style={template}>
            {shownColumns.map(({ name, isNumber }, n) => (
              <span
                key={name}
                role="columnheader"
                className={isNumber === true ? NUMBER : undefined}
                aria-sort={sort.name !== name ? 'none' : sort.down ? 'descending' : 'ascending'}
              >
                <button
                  aria-keyshortcuts="Shift+ArrowLeft Shift+ArrowRight"
                  onClick={event => onHead(event, name)}
                  onKeyDown={event => onHeadKey(event, n)}
                >
                  {name}
                  {sort.name === name && <i aria-hidden="true">{sort.down ? ' ▾' : ' ▴'}</i>}
                </button>
              </span>
            ))}
          </div>
        </div>
        <div
          className="nbray-rows"
          role="rowgroup"
          ref={host}
          tabIndex={-1}
          onScroll={({ currentTarget: box }) => {
            head.current!.scrollLeft = box.scrollLeft;
            drawn.current?.follow();
            setScroll(box.scrollTop);
          }}
          onKeyDown={onKey}
          onFocus={() => (inside.current = true)}
          onBlur={() => (inside.current = false)}
        >
          {order.length === 0 && (
            <p className="nbray-none">{rows.length === 0 ? props.empty : nothingWith(query)}</p>
          )}
          <div role="presentation" style={{ height: order.length * ROW, width: template.width }}>
            <div role="presentation" style={{ transform: `translateY(${top * ROW}px)` }}>
              {shown.map((row, n) => {
                const key = id(row);
                const isOn = selected === key || drawn.current?.isMarked(key) === true;
                return (
                  <div
                    key={key}
                    role="row"
                    className="nbray-row"
                    aria-rowindex={top + n + 2}
                    aria-selected={isOn}
                    tabIndex={entry === key ? 0 : -1}
                    style={template}
                    onFocus={() => setActive(key)}
                    onClick={event => onRow(event, row)}
                  >
                    {cellsAt(top + n).map((cell, column) => (
                      <span
                        key={shownColumns[column]!.name}
                        role="gridcell"
                        className={table.columns[column]!.isNumber ? NUMBER : undefined}
                        data-full={cell.full}
                      >
                        <CellWords cell={cell} />
                      </span>
                    ))}
                  </div>
                );
              })}
            </div>
          </div>
        </div>
      </div>
      {rows.length > 0 && (
        <p className="nbray-table-foot">
          {props.foot?.(order.length) ??
            t('%1 of %2', formatCount(order.length), formatCount(rows.length))}
        </p>
      )}
    </div>
  );
}

/** Said where a search finds nothing. */
export function nothingWith(query: string): string {
  return t('Nothing here has “%1” in it.', query.trim());
}

/** By how many rows what is looked at has moved: the row with the focus, if it is in view, else the first in view. */
function shiftOf<R>(
  before: readonly R[],
  now: readonly R[],
  id: (row: R) => string,
  view: { scroll: number; height: number; focus: string | null }
): number {
  const first = Math.floor(view.scroll / ROW);
  const inView = before.slice(first, Math.ceil((view.scroll + view.height) / ROW)).map(id);
  const focused = view.focus === null ? -1 : inView.indexOf(view.focus);
  const [was, key] = [first + Math.max(0, focused), inView[Math.max(0, focused)]];
  const there = now[was];
  if (key === undefined || (there !== undefined && id(there) === key)) {
    return 0;
  }
  const at = now.findIndex(row => id(row) === key);
  return at < 0 ? 0 : at - was;
}

function cellOf<R>(column: IColumn<R>, row: R, isTight: boolean): ICell {
  const shown = column.show === undefined ? column.key(row) : column.show(row, isTight);
  return typeof shown === 'object' ? shown : plainCell(shown);
}

/** The pointer is told what a cell says in full, when that is more than can be seen. */
function tellCut(event: MouseEvent): void {
  const cell = (event.target as Element).closest<HTMLElement>(
    '[role=gridcell], [role=columnheader]'
  );
  if (cell !== null) {
    const isCut = [cell, ...cell.querySelectorAll('button')].some(
      one => one.scrollWidth > one.clientWidth
    );
    cell.title = cell.dataset['full'] ?? (isCut ? cell.textContent : '');
  }
}
