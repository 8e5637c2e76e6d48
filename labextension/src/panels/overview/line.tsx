/** One figure over the last minute, on the time axis that all lines share. */
import type { ReactElement } from 'react';
import { stepLine } from '../../model/history.js';
import type { ISample } from '../../tokens.js';

const WIDTH = 300;
const HEIGHT = 34;

/** A step line over a pale area; stretches to the width it is given. */
export function Line(props: {
  history: readonly ISample[];
  value: (sample: ISample) => number;
  top: number;
  color: string;
}): ReactElement {
  const box = { now: Date.now(), width: WIDTH, height: HEIGHT - 2, top: props.top };
  const corners = stepLine(props.history, props.value, box);
  const points = corners.map(([x, y]) => `${x.toFixed(1)} ${(y + 1).toFixed(1)}`);
  const start = corners[0]?.[0] ?? 0;
  return (
    <svg
      className="nbray-line"
      style={{ color: `var(${props.color})` }}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {points.length > 0 && (
        <>
          <path
            d={`M${start.toFixed(1)} ${HEIGHT} L${points.join(' L')} L${WIDTH} ${HEIGHT}Z`}
            fill="currentColor"
            fillOpacity={0.16}
          />
          <path
            d={`M${points.join(' L')}`}
            fill="none"
            stroke="currentColor"
            strokeWidth={1.4}
            vectorEffect="non-scaling-stroke"
          />
        </>
      )}
    </svg>
  );
}
