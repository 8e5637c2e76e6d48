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

  /** Show the stretch between two places. */
  show(x1: number, x2: number, width: number): void {
    const [from, to] = [this.time(Math.min(x1, x2), width), this.time(Math.max(x1, x2), width)];
    this.from = from;
    this.to = Math.max(to, from + 0.01);
    this.follow = false;
  }

  /** Times for about `count` ticks, at round distances from `zero`. */
  ticks(count: number, zero: number): number[] {
    const span = this.to - this.from;
    const raw = span / Math.max(1, count);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= raw) ?? 10 * power;
    const ticks: number[] = [];
    for (let n = Math.ceil((this.from - zero) / step); zero + n * step <= this.to; n++) {
      if (n >= 0) {
        ticks.push(zero + n * step);
      }
    }
    return ticks;
  }
}
