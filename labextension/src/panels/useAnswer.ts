/** A question to the kernel, asked while its answer is shown. */
import { useCallback, useEffect, useRef, useState } from 'react';
import type { IClusterModel } from '../tokens.js';

/** What is known of an answer. */
export interface IAnswer<T> {
  /** null: none yet. */
  value: T | null;
  /** Why there is none; empty otherwise. */
  error: string;
  /** Ask again now. */
  again: () => void;
}

/**
 * Ask for `what` now, whenever `key` changes, and every `every` milliseconds (0: only then).
 *
 * Never asks while it waits for an answer, or page or panel are hidden; an answer that comes when `key` has changed is dropped.
 */
export function useAnswer<T>(
  model: IClusterModel,
  what: string,
  args: Record<string, unknown>,
  read: (value: unknown) => T,
  every: number
): IAnswer<T> {
  const key = JSON.stringify([what, args]);
  const [state, setState] = useState<{ key: string; value: T | null; error: string }>({
    key,
    value: null,
    error: ''
  });
  const [turn, setTurn] = useState(0);
  const waiting = useRef('');
  useEffect(() => {
    let over = false;
    const ask = (): void => {
      if (waiting.current === key || document.hidden || isAway()) {
        return;
      }
      waiting.current = key;
      model
        .request(what, args)
        .then(
          value => !over && setState({ key, value: read(value), error: '' }),
          (error: unknown) =>
            !over &&
            setState({ key, value: null, error: error instanceof Error ? error.message : '' })
        )
        .finally(() => {
          if (waiting.current === key) {
            waiting.current = '';
          }
        });
    };
    ask();
    const timer = every > 0 ? setInterval(ask, every) : undefined;
    return () => {
      over = true;
      waiting.current = '';
      clearInterval(timer);
    };
    // `key` stands for the question.
  }, [model, key, every, turn]);
  const again = useCallback(() => setTurn(n => n + 1), []);
  return state.key === key
    ? { value: state.value, error: state.error, again }
    : { value: null, error: '', again };
}

/** Whether the panel is behind another one, or closed. */
function isAway(): boolean {
  const panel = document.getElementById('nbray-panel');
  return panel !== null && panel.offsetParent === null;
}
