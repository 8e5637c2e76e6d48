/** A table of any rows: sorted by any column, filtered, drawn only where it can be seen. */
import {
  useEffect,
  useMemo,
  useRef,
  useState,
  type KeyboardEvent,
  type ReactElement,
  type ReactNode
} from 'react';
import { compare } from '../graph/order.js';
import { rowAfterKey } from '../graph/rowKeys.js';
import { formatCount } from '../graph/format.js';
import { t } from '../text.js';

const ROW = 26;
/** Narrower tables leave out some columns; and some more, where there is hardly any room. */
const ROOMY = 560;
const TIGHT = 390;
/** The class of cells with numbers. */
const NUMBER = 'nbray-mod-number';
/** Rows of one size, say, stand in the order of their names, as long as there are not too many to look at. */
const MAX_NAMED = 5_000;
/** Rows beyond the edges, so that scrolling shows no gaps. */
const SPARE = 6;

/** A column. */
export interface IColumn<R> {
  name: string;
  /** By what it is sorted. */
  key: (row: R) => number | string;
  /** What a search looks into; the key when there is none, nothing when it is null. */
  find?: ((row: R) => string) | null;
  /** What is shown; the key when there is none. `isTight`: there is hardly any room. */
  show?: (row: R, isTight: boolean) => ReactNode;
  /** Its width, as in a grid; all that are shown where there is little room fit into 300 pixels. */
  width?: string;
  /** A number: its digits stand under each other. */
  isNumber?: boolean;
  /** Left out where there is little room, or only where there is hardly any. */
  extra?: boolean | 'tight';
  /** Its width where there is hardly any room. */
  tight?: string;
}

/**
 * The rows. One of them is in the order of tabs; from there arrow keys, Home, End, PageUp and PageDown
 * go through all of them, drawn or not, and Enter or a click chooses one.
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
  const [height, setHeight] = useState(400);
  const [width, setWidth] = useState(ROOMY);
  const [active, setActive] = useState<string | null>(null);
  const host = useRef<HTMLDivElement>(null);
  /** The row that gets the focus once it is drawn. */
  const goTo = useRef<number | null>(null);
  const inside = useRef(false);
  useEffect(() => {
    const box = host.current!;
    const observer = new ResizeObserver(() => {
      setHeight(box.clientHeight);
      setWidth(box.clientWidth);
    });
    observer.observe(box);
    return () => observer.disconnect();
  }, []);
  const order = useMemo(
    () => ordered(rows, columns, query, sort),
    // The columns are made anew with every drawing; what they mean stays.
    [rows, query, sort]
  );
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
  const top = Math.max(0, Math.floor(scroll / ROW) - SPARE);
  const shown = order.slice(top, top + Math.ceil(height / ROW) + 2 * SPARE);
  const entry = shown.some(row => id(row) === active) ? active : shown[0] && id(shown[0]);
  const isTight = width < TIGHT;
  const drawn = columns.filter(({ extra }) =>
    extra === true ? width >= ROOMY : extra !== 'tight' || !isTight
  );
  const widths = drawn.map(one => (isTight ? (one.tight ?? one.width) : one.width) ?? '1fr');
  const grid = { gridTemplateColumns: widths.join(' ') };

  const onKey = (event: KeyboardEvent<HTMLElement>): void => {
    const target = event.target as HTMLElement;
    const here = target.getAttribute('role') === 'row' || target === host.current;
    const at = order.findIndex(row => id(row) === active);
    const next = here ? rowAfterKey(event.key, at, order.length, Math.floor(height / ROW)) : null;
    if (next !== null) {
      const box = host.current!;
      setActive(id(order[next]!));
      goTo.current = next;
      // The row may not be drawn yet: it is once the box has scrolled there.
      const y = next * ROW;
      box.scrollTop = Math.max(y + ROW - box.clientHeight, Math.min(box.scrollTop, y));
      setScroll(box.scrollTop);
      event.preventDefault();
    } else if (here && at >= 0 && (event.key === 'Enter' || event.key === ' ')) {
      onSelect?.(order[at]!);
      event.preventDefault();
    }
  };

  return (
    <div
      className="nbray-table"
      role="grid"
      aria-label={label}
      aria-rowcount={order.length + 1}
      aria-readonly={true}
    >
      <div className="nbray-row nbray-row-head" role="row" aria-rowindex={1} style={grid}>
        {drawn.map(({ name, isNumber }) => (
          <span
            key={name}
            role="columnheader"
            className={isNumber === true ? NUMBER : undefined}
            aria-sort={sort.name !== name ? 'none' : sort.down ? 'descending' : 'ascending'}
          >
            <button
              onClick={() => setSort({ name, down: sort.name === name ? !sort.down : false })}
            >
              {name}
              {sort.name === name && <i aria-hidden="true">{sort.down ? ' ▾' : ' ▴'}</i>}
            </button>
          </span>
        ))}
      </div>
      <div
        className="nbray-rows"
        role="rowgroup"
        ref={host}
        tabIndex={-1}
        onScroll={event => setScroll(event.currentTarget.scrollTop)}
        onKeyDown={onKey}
        onFocus={() => (inside.current = true)}
        onBlur={() => (inside.current = false)}
      >
        {order.length === 0 && (
          <p className="nbray-none">{rows.length === 0 ? props.empty : nothingWith(query)}</p>
        )}
        <div role="presentation" style={{ height: order.length * ROW }}>
          <div role="presentation" style={{ transform: `translateY(${top * ROW}px)` }}>
            {shown.map((row, n) => {
              const key = id(row);
              return (
                <div
                  key={key}
                  role="row"
                  aria-rowindex={top + n + 2}
                  aria-selected={onSelect === undefined ? undefined : selected === key}
                  tabIndex={entry === key ? 0 : -1}
                  style={grid}
                  className={selected === key ? 'nbray-row nbray-mod-on' : 'nbray-row'}
                  onFocus={() => setActive(key)}
                  onClick={() => onSelect?.(row)}
                >
                  {drawn.map(column => (
                    <span
                      key={column.name}
                      role="gridcell"
                      className={column.isNumber === true ? NUMBER : undefined}
                      title={column.show === undefined ? String(column.key(row)) : undefined}
                    >
                      {column.show === undefined ? column.key(row) : column.show(row, isTight)}
                    </span>
                  ))}
                </div>
              );
            })}
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

/** The rows that match, in the order of a column; as they come when no column says so. */
function ordered<R>(
  rows: readonly R[],
  columns: readonly IColumn<R>[],
  query: string,
  sort: { name: string; down: boolean }
): readonly R[] {
  const words = query.trim().toLowerCase();
  const texts = columns
    .filter(({ find }) => find !== null)
    .map(({ key, find }) => find ?? ((row: R) => String(key(row))));
  const found =
    words === ''
      ? rows
      : rows.filter(row => texts.some(text => text(row).toLowerCase().includes(words)));
  const by = columns.find(column => column.name === sort.name);
  if (by === undefined) {
    return found;
  }
  const keyed = found.map(row => ({ row, key: by.key(row) }));
  const sign = sort.down ? -1 : 1;
  const [{ key: nameOf } = by] = columns;
  const named = keyed.length <= MAX_NAMED && by.name !== columns[0]?.name;
  keyed.sort(
    (a, b) => compare(a.key, b.key) * sign || (named ? compare(nameOf(a.row), nameOf(b.row)) : 0)
  );
  return keyed.map(({ row }) => row);
}
