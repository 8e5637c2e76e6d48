/** What is said beside the pointer: below it at its right, or on the other side where that has more room. */
import type { CSSProperties, ReactElement, ReactNode } from 'react';

const GAP = 14;

/** `x`, `y`: of the pointer, in the box in which it stands. */
export function HintBox(props: {
  x: number;
  y: number;
  box: HTMLElement | null;
  children: ReactNode;
}): ReactElement {
  const { x, y, box } = props;
  const [width, height] = [box?.clientWidth ?? Infinity, box?.clientHeight ?? Infinity];
  const style: CSSProperties = {
    ...(x > width / 2 ? { right: width - x + GAP } : { left: x + GAP }),
    ...(y > 0.7 * height ? { bottom: height - y + GAP } : { top: y + GAP })
  };
  return (
    <div className="nbray-hint" role="tooltip" style={style}>
      {props.children}
    </div>
  );
}
