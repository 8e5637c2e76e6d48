/** The objects that stand in the graph: asked for while they are wanted, and said in words. */
import { useEffect, type ReactElement } from 'react';
import { objectNodes, type IObjectNode } from '../../graph/objectNodes.js';
import { pieces } from '../../graph/sentence.js';
import { NO_GROUP } from '../../graph/taskStore.js';
import { nameOf } from '../../graph/words.js';
import { readObjects } from '../../model/answers.js';
import { formatBytes, formatCount } from '../../graph/format.js';
import { t } from '../../text.js';
import type { IClusterModel } from '../../tokens.js';
import { useAnswer } from '../useAnswer.js';

const EVERY_MS = 2_000;

/** Items of the graph's tree; `show` puts the same objects onto its canvas. */
export function GraphObjects(props: {
  model: IClusterModel;
  show: (nodes: readonly IObjectNode[] | null) => void;
  onObject: (id: string) => void;
}): ReactElement {
  const { model, show, onObject } = props;
  const { value } = useAnswer(model, 'objects', {}, readObjects, EVERY_MS);
  const nodes = value === null ? [] : objectNodes(model.tasks, value.objects);
  useEffect(() => {
    if (value !== null) {
      const found = objectNodes(model.tasks, value.objects);
      show(found);
      model.shownObjects = { generation: model.tasks.generation, nodes: found };
    }
  }, [model, value, show]);
  useEffect(() => () => show(null), [show]);
  return (
    <>
      {nodes.map(node => (
        <li
          key={node.key}
          role="treeitem"
          aria-level={1}
          tabIndex={-1}
          aria-label={spoken(model, node)}
          onKeyDown={event => event.key === 'Enter' && onObject(node.largest)}
        />
      ))}
    </>
  );
}

/** What an object is called, and what there is to say of it but its size. */
export function objectWords(
  model: IClusterModel,
  node: IObjectNode
): { name: string; facts: string } {
  const maker = model.tasks.groups[node.maker];
  const facts: string[] = [];
  if (node.count > 1) {
    facts.push(t('%1 objects', formatCount(node.count)));
  }
  const cell = pieces(node.made, []).find(piece => piece.cell !== undefined)?.cell;
  if (node.maker === NO_GROUP && cell !== undefined) {
    facts.push(t('cell %1', cell));
  }
  const name =
    node.name || (maker === undefined ? t('put') : t('results of %1', nameOf(model.tasks, maker)));
  return { name, facts: facts.join(' · ') };
}

/** `weights, object of 48 MB, cell 9, taken by train`. */
function spoken(model: IClusterModel, node: IObjectNode): string {
  const { name, facts } = objectWords(model, node);
  const takers = node.takers.map(group => nameOf(model.tasks, model.tasks.groups[group]!));
  const parts = [name, t('object of %1', formatBytes(node.size)), facts];
  if (takers.length > 0) {
    parts.push(t('taken by %1', takers.join(', ')));
  }
  return parts.filter(Boolean).join(', ');
}
