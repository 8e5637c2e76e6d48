/** The six shapes of the states, as SVG; the colour is that of the state. */
import type { ReactElement } from 'react';
import type { IStateLook, Shape } from '../graph/states.js';

/** The shape of a state, 14 pixels square. */
export function StateShape(props: { look: IStateLook; lively?: boolean }): ReactElement {
  const { look, lively = false } = props;
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
      {drawing(look.shape)}
    </svg>
  );
}

function drawing(shape: Shape): ReactElement {
  const line = { fill: 'none', stroke: 'currentColor', strokeWidth: 1.8 };
  switch (shape) {
    case 'dashed-ring':
      return <circle cx={7} cy={7} r={4.6} {...line} strokeDasharray="2.1 1.5" strokeWidth={1.6} />;
    case 'ring':
      return <circle cx={7} cy={7} r={4.6} {...line} />;
    case 'triangle':
      return <path d="M3.2 2.2 11.8 7 3.2 11.8Z" fill="currentColor" />;
    case 'disc':
      return <circle cx={7} cy={7} r={5.3} fill="currentColor" />;
    case 'cross':
      return <path d="M2.8 2.8 11.2 11.2M11.2 2.8 2.8 11.2" {...line} strokeWidth={2.6} />;
    case 'crossed-ring':
      return (
        <g {...line} strokeWidth={1.6}>
          <circle cx={7} cy={7} r={4.6} />
          <path d="M3.8 10.2 10.2 3.8" />
        </g>
      );
  }
}
