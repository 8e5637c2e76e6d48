/** One time axis: which stretch is shown, and where its ticks stand. Pure. */

/** Times are milliseconds of the node's clock. */
export class TimeScale {
  from = 0;
  to = 1;
  /** Keeps up with now. */
  follow = true;

  /** Where a time stands, 0 to `width`. */
  x(time: number, width: number): number {
    return ((time - this.from) / (this.to - this.from)) * width;
  }

  /** The time at a place. */
  time(x: number, width: number): number {
    return this.from + (x / width) * (this.to - this.from);
  }

  /** Show everything from the first task on, with a little room to the right. */
  followTo(first: number, now: number): void {
    if (this.follow) {
      const span = Math.max(1000, now - first);
      this.from = first;
      this.to = first + span * 1.04;
    }
  }

  /** Scale by a factor around a place. */
  zoom(factor: number, x: number, width: number): void {
    const at = this.time(x, width);
    const span = Math.max(0.01, Math.min(7 * 86_400_000, (this.to - this.from) / factor));
    this.from = at - (x / width) * span;
    this.to = this.from + span;
    this.follow = false;
  }

  /** Move by pixels. */
  pan(dx: number, width: number): void {
    const step = (dx / width) * (this.to - this.from);
    this.from -= step;
    this.to -= step;
    this.follow = false;
  }

  /** Bring a stretch of time into view where it is out of it. Who follows has everything in view. */
  reveal(from: number, to: number): void {
    if (!this.follow && (to < this.from || from > this.to)) {
      const span = this.to - this.from;
      this.from = (from + to - span) / 2;
      this.to = this.from + span;
    }
  }

  /** Show the stretch between two places. */
  show(x1: number, x2: number, width: number): void {
    const [from, to] = [this.time(Math.min(x1, x2), width), this.time(Math.max(x1, x2), width)];
    this.from = from;
    this.to = Math.max(to, from + 0.01);
    this.follow = false;
  }

  /** About `count` ticks at round distances from `zero`, and what stands at each. */
  ticks(count: number, zero: number): { time: number; words: string }[] {
    const step = roundStep((this.to - this.from) / Math.max(1, count));
    const ticks = [];
    for (let n = Math.ceil((this.from - zero) / step); zero + n * step <= this.to; n++) {
      if (n >= 0) {
        ticks.push({ time: zero + n * step, words: tickWords(n * step, step) });
      }
    }
    return ticks;
  }
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Distances above ten seconds that are round for a person who reads minutes and hours. */
const LONG_STEPS = [
  ...[10, 20, 30].map(n => n * SECOND),
  ...[1, 2, 5, 10, 20, 30].map(n => n * MINUTE),
  ...[1, 2, 3, 6, 12].map(n => n * HOUR)
];

/** The least round distance that is not shorter than this. */
function roundStep(least: number): number {
  const long = least > 5 * SECOND ? LONG_STEPS.find(step => step >= least) : undefined;
  if (long !== undefined) {
    return long;
  }
  const unit = least > DAY / 2 ? DAY : 1;
  const power = unit * 10 ** Math.floor(Math.log10(least / unit));
  return [1, 2, 5, 10].map(n => n * power).find(n => n >= least) ?? 10 * power;
}

/** `0 s`, `250 ms`, `1.5 s`, `40 s`, `2 min`, `2 min 20 s`, `1 h 5 min`: ticks a `step` apart differ. */
function tickWords(ms: number, step: number): string {
  if (ms === 0) {
    return '0 s';
  }
  if (ms < SECOND) {
    return `${ms.toFixed(decimals(step))} ms`;
  }
  const parts: string[] = [];
  let rest = ms;
  for (const [unit, name] of [
    [HOUR, 'h'],
    [MINUTE, 'min']
  ] as const) {
    const whole = Math.floor(rest / unit + 1e-9);
    if (whole > 0) {
      parts.push(`${whole} ${name}`);
      rest = Math.max(0, rest - whole * unit);
    }
  }
  if (rest > step / 2 || parts.length === 0) {
    parts.push(`${(rest / SECOND).toFixed(decimals(step / SECOND))} s`);
  }
  return parts.join(' ');
}

/** Digits behind the point by which multiples of a step are told apart. */
function decimals(step: number): number {
  return Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)));
}
