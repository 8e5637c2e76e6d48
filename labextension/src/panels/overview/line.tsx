/** One figure over the last minute, on the time axis that all lines share. */
import { useLayoutEffect, useRef, type ReactElement } from 'react';
import { sharesOf, SPAN_MS } from '../../model/history.js';
import { Chart } from '../chart.js';
import { watchTheme } from '../palette.js';
import type { ISample } from '../../tokens.js';

const HEIGHT = 34;

/** A chart of steps, as wide as the place that it is given. */
export function Line(props: {
  history: readonly ISample[];
  value: (sample: ISample) => number;
  top: number;
  color: string;
}): ReactElement {
  const { history, value, top, color } = props;
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  const draw = useRef(() => {});
  draw.current = () => {
    const now = Date.now();
    chart.current!.show({
      data: sharesOf(history, value, top, now),
      from: now - SPAN_MS,
      to: now,
      width: Math.max(1, box.current!.clientWidth),
      color: getComputedStyle(box.current!).color
    });
  };

  useLayoutEffect(() => {
    const made = new Chart(box.current!, HEIGHT, { steps: true });
    chart.current = made;
    const observer = new ResizeObserver(() => draw.current());
    observer.observe(box.current!);
    const unwatchTheme = watchTheme(() => draw.current());
    return () => {
      observer.disconnect();
      unwatchTheme();
      made.dispose();
    };
  }, []);

  useLayoutEffect(() => draw.current());

  return (
    <div
      className="nbray-line"
      style={{ color: `var(${color})` }}
      dir="ltr"
      ref={box}
      aria-hidden="true"
    />
  );
}
