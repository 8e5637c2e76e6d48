/** The six shapes of the states, as SVG; the colour is that of the state. */
import type { ReactElement } from 'react';
import { SHAPE_LINES, svgPath } from '../graph/shapeLines.js';
import type { IStateLook } from '../graph/states.js';

/** The shape of a state, 14 pixels square. */
export function StateShape(props: { look: IStateLook; lively?: boolean }): ReactElement {
  const { look, lively = false } = props;
  const lines = SHAPE_LINES[look.shape];
  return (
    <svg
      className={lively ? 'nbray-shape nbray-mod-lively' : 'nbray-shape'}
      style={{ color: `var(${look.color})` }}
      viewBox="0 0 14 14"
      width={14}
      height={14}
      aria-hidden="true"
      data-shape={look.shape}
    >
      <path
        d={svgPath(lines)}
        {...(lines.line === 0
          ? { fill: 'currentColor' }
          : { fill: 'none', stroke: 'currentColor', strokeWidth: lines.line })}
        strokeDasharray={lines.dash?.join(' ')}
      />
    </svg>
  );
}
