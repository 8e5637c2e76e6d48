/** Tasks as items of a tree. Of many, one page stands in the tree, between items that lead to the pages beside it. */
import { useEffect, useRef, useState, type KeyboardEvent, type ReactElement } from 'react';
import type { TaskStore } from '../graph/taskStore.js';
import { wordOf } from '../graph/words.js';
import { formatCount } from '../graph/format.js';
import { t } from '../text.js';

/** Tasks of a page. */
const PAGE = 200;

/** The group of items below one that is open. */
export function TaskItems(props: {
  store: TaskStore;
  tasks: readonly number[];
  level: number;
  selected: number | null;
  onSelect: (task: number) => void;
  /** The keyboard is at it: the canvas shows where that is. */
  onFocus: (task: number) => void;
}): ReactElement {
  const { store, tasks, level, selected, onSelect, onFocus } = props;
  const [first, setFirst] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  /** Which end of a page gets the keyboard once it is there. */
  const goTo = useRef<'first' | 'last' | null>(null);
  useEffect(() => {
    const items = list.current!.querySelectorAll<HTMLElement>('[data-task]');
    if (goTo.current !== null) {
      items[goTo.current === 'first' ? 0 : items.length - 1]?.focus();
      goTo.current = null;
    }
  }, [first]);
  useEffect(() => {
    const at = selected === null ? -1 : tasks.indexOf(selected);
    if (at >= 0) {
      setFirst(at - (at % PAGE));
    }
    // Tasks come all the time; the page moves when another is selected.
  }, [selected]);
  const begin = first < tasks.length ? first : 0; // some were forgotten
  const later = Math.max(0, tasks.length - begin - PAGE);
  const turn = (to: number, end: 'first' | 'last'): void => {
    goTo.current = end;
    setFirst(to);
  };
  return (
    <ul role="group" ref={list}>
      {begin > 0 && (
        <More
          level={level}
          words={begin === 1 ? t('1 earlier one') : t('%1 earlier ones', formatCount(begin))}
          onEnter={() => turn(Math.max(0, begin - PAGE), 'last')}
        />
      )}
      {tasks.slice(begin, begin + PAGE).map(task => (
        <li
          key={task}
          role="treeitem"
          tabIndex={-1}
          aria-level={level}
          aria-selected={selected === task}
          aria-label={`${store.title(task)}, ${wordOf(store.state[task]!)}`}
          data-task={task}
          onFocus={() => onFocus(task)}
          onKeyDown={event => event.key === 'Enter' && onSelect(task)}
        />
      ))}
      {later > 0 && (
        <More
          level={level}
          words={later === 1 ? t('1 later one') : t('%1 later ones', formatCount(later))}
          onEnter={() => turn(begin + PAGE, 'first')}
        />
      )}
    </ul>
  );
}

/** What leads to another page. */
function More(props: { level: number; words: string; onEnter: () => void }): ReactElement {
  const { level, words, onEnter } = props;
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Enter') {
      onEnter();
    }
  };
  return (
    <li role="treeitem" tabIndex={-1} aria-level={level} aria-label={words} onKeyDown={onKey} />
  );
}
