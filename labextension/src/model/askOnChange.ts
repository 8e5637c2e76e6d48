/** When to ask a question again whose answer may have changed. Pure but for the clock that it is given. */

/** What it needs. */
export interface IAskOptions {
  /** Milliseconds between two questions, at least; 0: it is asked once. */
  every: number;
  /** Ask; tells whether there was an answer. */
  ask: () => Promise<boolean>;
  /** Whether somebody sees the answer. */
  isSeen: () => boolean;
  now?: () => number;
  setTimeout?: (action: () => void, delay: number) => unknown;
}

/**
 * Asks at once, and then only when something has changed.
 *
 * What follows from a change comes a little later (who held a value lets go of it), so after the last
 * change it asks once more. Without an answer it tries again; while nobody looks it waits.
 */
export class AskOnChange {
  constructor(options: IAskOptions) {
    this._options = options;
    this._now = options.now ?? (() => performance.now());
    this._setTimeout = options.setTimeout ?? ((action, delay) => setTimeout(action, delay));
  }

  /** Something has changed. */
  changed(): void {
    if (this._options.every > 0) {
      this._isDue = this._settles = true;
      this.look();
    }
  }

  /** Ask if that is due and somebody sees the answer. */
  look(): void {
    if (this._stopped || this._busy || !this._isDue || !this._options.isSeen()) {
      return;
    }
    const wait = this._askedAt + this._options.every - this._now();
    if (wait <= 0) {
      this._ask();
      return;
    }
    this._busy = true;
    this._setTimeout(() => {
      this._busy = false;
      this.look();
    }, wait);
  }

  stop(): void {
    this._stopped = true;
  }

  private _ask(): void {
    this._busy = true;
    this._isDue = false;
    this._askedAt = this._now();
    const settles = this._settles;
    this._settles = false;
    void this._options.ask().then(answered => {
      this._busy = false;
      this._isDue ||= this._options.every > 0 && (settles || !answered);
      this.look();
    });
  }

  private readonly _options: IAskOptions;
  private readonly _now: () => number;
  private readonly _setTimeout: (action: () => void, delay: number) => unknown;
  private _isDue = true;
  private _settles = false;
  /** It waits for an answer, or for the time of the next question. */
  private _busy = false;
  private _askedAt = -Infinity;
  private _stopped = false;
}
