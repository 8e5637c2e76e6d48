/** A table of any rows: sorted by any column, filtered, drawn only where it can be seen. */
import { useEffect, useMemo, useRef, useState, type ReactElement, type ReactNode } from 'react';
import { compare } from '../graph/order.js';
import { formatCount } from '../model/format.js';
import { t } from '../text.js';

const ROW = 26;
/** Rows beyond the edges, so that scrolling shows no gaps. */
const SPARE = 6;

/** A column. */
export interface IColumn<R> {
  name: string;
  /** By what it is sorted, and what a search looks into. */
  key: (row: R) => number | string;
  /** What is shown; the key when there is none. */
  show?: (row: R) => ReactNode;
  /** Its width, as in a grid. */
  width?: string;
}

/** The rows; Enter and click choose one, arrow keys go from one to the next. */
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
  /** The column by which it is sorted at first, the largest first. */
  first?: string;
}): ReactElement {
  const { label, rows, columns, id, query = '', selected = null, onSelect } = props;
  const [sort, setSort] = useState({ name: props.first ?? '', down: true });
  const [scroll, setScroll] = useState(0);
  const [height, setHeight] = useState(400);
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const observer = new ResizeObserver(() => setHeight(host.current?.clientHeight ?? 400));
    observer.observe(host.current!);
    return () => observer.disconnect();
  }, []);
  const order = useMemo(() => {
    const words = query.trim().toLowerCase();
    const found = rows.filter(
      row =>
        words === '' ||
        columns.some(column => String(column.key(row)).toLowerCase().includes(words))
    );
    const by = columns.find(column => column.name === sort.name);
    if (by !== undefined) {
      found.sort((a, b) => compare(by.key(a), by.key(b)) * (sort.down ? -1 : 1));
    }
    return found;
    // The columns are made anew with every drawing; what they mean stays.
  }, [rows, query, sort]);
  const top = Math.max(0, Math.floor(scroll / ROW) - SPARE);
  const shown = order.slice(top, top + Math.ceil(height / ROW) + 2 * SPARE);
  const grid = { gridTemplateColumns: columns.map(column => column.width ?? '1fr').join(' ') };
  return (
    <div className="nbray-table" role="table" aria-label={label} aria-rowcount={order.length + 1}>
      <div className="nbray-row nbray-row-head" role="row" aria-rowindex={1} style={grid}>
        {columns.map(({ name }) => (
          <button
            key={name}
            role="columnheader"
            aria-sort={sort.name !== name ? 'none' : sort.down ? 'descending' : 'ascending'}
            onClick={() => setSort({ name, down: sort.name === name ? !sort.down : false })}
          >
            {name}
            {sort.name === name && (sort.down ? ' ▾' : ' ▴')}
          </button>
        ))}
      </div>
      <div
        className="nbray-rows"
        ref={host}
        onScroll={event => setScroll(event.currentTarget.scrollTop)}
        onKeyDown={event => {
          const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
          const items = [...event.currentTarget.querySelectorAll<HTMLElement>('[role=row]')];
          const at = items.indexOf(document.activeElement as HTMLElement);
          if (step !== undefined && at >= 0) {
            items[at + step]?.focus();
            event.preventDefault();
          }
        }}
      >
        <div style={{ height: order.length * ROW }}>
          <div style={{ transform: `translateY(${top * ROW}px)` }}>
            {shown.map((row, n) => (
              <div
                key={id(row)}
                role="row"
                aria-rowindex={top + n + 2}
                aria-selected={selected === id(row)}
                tabIndex={0}
                style={grid}
                className={selected === id(row) ? 'nbray-row nbray-mod-on' : 'nbray-row'}
                onClick={() => onSelect?.(row)}
                onKeyDown={event => {
                  if (event.key === 'Enter' && event.target === event.currentTarget) {
                    onSelect?.(row);
                  }
                }}
              >
                {columns.map(column => (
                  <span key={column.name} role="cell">
                    {column.show === undefined ? column.key(row) : column.show(row)}
                  </span>
                ))}
              </div>
            ))}
          </div>
        </div>
      </div>
      <p className="nbray-table-foot">
        {rows.length === 0
          ? props.empty
          : t('%1 of %2', formatCount(order.length), formatCount(rows.length))}
      </p>
    </div>
  );
}
