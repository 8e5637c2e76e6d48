/** Questions that were sent and wait for their answers, by number. */
import type { IReply } from './feed.js';
import { fromKernel } from './kernelWords.js';

/** How long an answer may take: who is asked asks the daemon, which may be busy. */
const ANSWER_TIMEOUT_MS = 30_000;

/** Those of one connection. */
export class Questions {
  constructor(
    setTimeout: (action: () => void, delay: number) => unknown = (action, delay) =>
      globalThis.setTimeout(action, delay)
  ) {
    this._setTimeout = setTimeout;
  }

  /** Send one under its number; rejects with the sentence that says why there is no answer. */
  ask(send: (request: number) => void, silent: string): Promise<unknown> {
    const request = ++this._last;
    return new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        if (this._asked.delete(request)) {
          settle();
        }
      };
      this._asked.set(request, {
        resolve: value => done(() => resolve(value)),
        reject: words => done(() => reject(new Error(words)))
      });
      this._setTimeout(() => this._asked.get(request)?.reject(silent), ANSWER_TIMEOUT_MS);
      send(request);
    });
  }

  /** An answer has come. */
  answered({ number, value, error }: IReply): void {
    const asked = this._asked.get(number);
    if (error !== null) {
      asked?.reject(fromKernel(error));
    } else {
      asked?.resolve(value);
    }
  }

  /** Nobody answers any more what was asked so far. */
  giveUp(words: string): void {
    for (const asked of [...this._asked.values()]) {
      asked.reject(words);
    }
  }

  private readonly _setTimeout: (action: () => void, delay: number) => unknown;
  private _last = 0;
  private readonly _asked = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (words: string) => void }
  >();
}
