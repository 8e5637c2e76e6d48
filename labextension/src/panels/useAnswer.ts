/** A question to the kernel, asked while its answer is shown. */
import { useCallback, useEffect, useRef, useState } from 'react';
import { AskOnChange } from '../model/askOnChange.js';
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
 * Ask for `what` now, whenever `key` changes, and when something has changed in the cluster or the notebook, but not more
 * often than every `every` milliseconds (0: only once). `printed`: the answer has in it what tasks print.
 *
 * Never asks while it waits for an answer, or page or panel are hidden; an answer that comes when `key` has changed is dropped.
 */
export function useAnswer<T>(
  model: IClusterModel,
  what: string,
  args: Record<string, unknown>,
  read: (value: unknown) => T,
  every: number,
  printed = false
): IAnswer<T> {
  const key = JSON.stringify([what, args]);
  const [state, setState] = useState<{ key: string; value: T | null; error: string }>({
    key,
    value: null,
    error: ''
  });
  const [turn, setTurn] = useState(0);
  const asker = useRef<AskOnChange | null>(null);
  useEffect(() => {
    let over = false;
    const put = (value: T | null, error: string): void => {
      if (!over) {
        setState({ key, value, error });
      }
    };
    const made = new AskOnChange({
      every,
      ask: () =>
        model.request(what, args).then(
          value => {
            put(read(value), '');
            return true;
          },
          (error: unknown) => {
            put(null, error instanceof Error ? error.message : '');
            return false;
          }
        ),
      isSeen: () => !document.hidden && !isAway()
    });
    asker.current = made;
    made.look();
    const changed = (): void => made.changed();
    const look = (): void => made.look();
    if (every > 0) {
      model.stirred.connect(changed);
      if (printed) {
        model.printed.connect(changed);
      }
    }
    document.addEventListener('visibilitychange', look);
    return () => {
      over = true;
      made.stop();
      if (every > 0) {
        model.stirred.disconnect(changed);
        model.printed.disconnect(changed);
      }
      document.removeEventListener('visibilitychange', look);
    };
    // `key` stands for the question.
  }, [model, key, every, printed, turn]);
  // The panel draws when it is shown again.
  useEffect(() => asker.current?.look());
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
