/** Names that are links: cells, tasks and functions, wherever a sentence has them. */
import { useMemo, type ReactElement } from 'react';
import type { Piece } from '../graph/cellContent.js';
import { NO_GROUP } from '../graph/taskStore.js';
import { pieces } from '../graph/sentence.js';
import type { IHit } from '../graph/scene.js';
import { t } from '../text.js';
import type { IClusterModel } from '../tokens.js';

/** What a link to a task or a group does. */
export type Select = (hit: IHit | null) => void;

/** A name that is a link where it leads somewhere: in a sentence, in a cell of a table. */
export type Name = Extract<Piece, { kind: 'text' | 'link' }>;

/** A button that looks like a link. */
export function Link(props: { text: string; onClick: () => void }): ReactElement {
  return (
    <button className="nbray-link" onClick={props.onClick}>
      {props.text}
    </button>
  );
}

/** A name, and where it leads. */
function nameOf(text: string, onClick: (() => void) | null): Name {
  return onClick === null ? { kind: 'text', text } : { kind: 'link', text, onClick };
}

/** A cell, by the number that stands before it; plain text when it is not in the notebook in front. */
export function cellName(model: IClusterModel, number: number, text?: string): Name {
  const cell = model.cellNumbered(number);
  return nameOf(text ?? t('cell %1', number), cell && (() => void cell.show()));
}

/** A task, by its index. */
export function taskName(model: IClusterModel, task: number, onSelect: Select): Name {
  const store = model.tasks;
  return task >= store.count || store.group[task]! === NO_GROUP
    ? nameOf(t('a task'), null)
    : nameOf(store.title(task), () => onSelect({ group: store.group[task]!, task }));
}

/** A name in a sentence. */
export function NameLink({ name }: { name: Name }): ReactElement {
  return name.kind === 'text' ? <>{name.text}</> : <Link text={name.text} onClick={name.onClick} />;
}

/** A cell in a sentence. */
export function CellLink(props: {
  model: IClusterModel;
  number: number;
  text?: string;
}): ReactElement {
  return <NameLink name={cellName(props.model, props.number, props.text)} />;
}

/** A task in a sentence. */
export function TaskLink(props: {
  model: IClusterModel;
  task: number;
  onSelect: Select;
}): ReactElement {
  return <NameLink name={taskName(props.model, props.task, props.onSelect)} />;
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
