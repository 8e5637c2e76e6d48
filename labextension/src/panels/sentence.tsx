/** Names that are links: cells, tasks and functions, wherever a sentence has them. */
import { useMemo, type ReactElement } from 'react';
import { NO_GROUP } from '../graph/taskStore.js';
import { pieces } from '../graph/sentence.js';
import type { IHit } from '../graph/scene.js';
import { t } from '../text.js';
import type { IClusterModel } from '../tokens.js';

/** What a link to a task or a group does. */
export type Select = (hit: IHit | null) => void;

/** A button that looks like a link. */
export function Link(props: { text: string; onClick: () => void }): ReactElement {
  return (
    <button className="nbray-link" onClick={props.onClick}>
      {props.text}
    </button>
  );
}

/** A cell, by the number that stands before it; plain text when it is not in the notebook in front. */
export function CellLink(props: {
  model: IClusterModel;
  number: number;
  text?: string;
}): ReactElement {
  const { model, number } = props;
  const words = props.text ?? t('cell %1', number);
  const cell = model.cellNumbered(number);
  return cell === null ? <>{words}</> : <Link text={words} onClick={() => void cell.show()} />;
}

/** A task, by its index. */
export function TaskLink(props: {
  model: IClusterModel;
  task: number;
  onSelect: Select;
}): ReactElement {
  const { model, task, onSelect } = props;
  const store = model.tasks;
  if (task >= store.count || store.group[task]! === NO_GROUP) {
    return <>{t('a task')}</>;
  }
  return (
    <Link text={store.title(task)} onClick={() => onSelect({ group: store.group[task]!, task })} />
  );
}

/** A sentence of the kernel; the cells and functions in it are links. */
export function Sentence(props: {
  model: IClusterModel;
  text: string;
  onSelect: Select;
}): ReactElement {
  const { model, text, onSelect } = props;
  const store = model.tasks;
  const functions = store.functions.length;
  const parts = useMemo(
    () => pieces(text, [...new Set(store.functions.map(func => func?.name ?? ''))]),
    // New functions are rare; tasks come all the time.
    [store, text, functions]
  );
  return (
    <>
      {parts.map((piece, n) => {
        if (piece.cell !== undefined) {
          return <CellLink key={n} model={model} number={piece.cell} text={piece.text} />;
        }
        const name = piece.name;
        const group =
          name === undefined
            ? undefined
            : store.groups.find(one => store.functions[one.function]?.name === name);
        return group === undefined ? (
          <span key={n}>{piece.text}</span>
        ) : (
          <Link
            key={n}
            text={piece.text}
            onClick={() => onSelect({ group: group.index, task: null })}
          />
        );
      })}
    </>
  );
}
