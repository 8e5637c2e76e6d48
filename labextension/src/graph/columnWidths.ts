/** How wide the columns of a table are: what a person has set stays, the others share the room. Pure. */

/** What a column asks for, in pixels. */
export interface IColumnWidth {
  least: number;
  /** Its share of the room that is left; none: it stays as wide as its least. */
  share?: number;
}

/** No column gets narrower than this. */
export const NARROWEST = 20;

/** The widths in whole pixels, of columns of which some are set; the last takes what is left over. */
export function columnWidths(
  wanted: readonly IColumnWidth[],
  set: readonly (number | undefined)[],
  room: number
): number[] {
  const widths = wanted.map(({ least }, n) => Math.max(NARROWEST, set[n] ?? least));
  const sum = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0);
  let sharing = wanted.flatMap(({ share }, n) =>
    set[n] === undefined && share !== undefined ? [n] : []
  );
  for (;;) {
    const left = room - sum(widths.filter((_, n) => !sharing.includes(n)));
    const perShare = left / sum(sharing.map(n => wanted[n]!.share!));
    const enough = sharing.filter(n => wanted[n]!.share! * perShare >= widths[n]!);
    if (enough.length < sharing.length) {
      sharing = enough; // the others have their least, which leaves less to share
      continue;
    }
    let edge = 0;
    for (const n of sharing) {
      const next = edge + wanted[n]!.share! * perShare;
      widths[n] = Math.round(next) - Math.round(edge);
      edge = next;
    }
    break;
  }
  const over = Math.floor(room - sum(widths));
  if (over > 0 && widths.length > 0) {
    widths[widths.length - 1]! += over;
  }
  return widths;
}

/**
 * What is set after the right edge of a column was moved: the columns before it stay as they are, so that the edge is where
 * the pointer is; those after it share what is left.
 */
export function withWidth(
  widths: readonly number[],
  set: readonly (number | undefined)[],
  column: number,
  width: number
): (number | undefined)[] {
  return set.map((one, n) =>
    n < column ? widths[n] : n === column ? Math.max(NARROWEST, Math.round(width)) : one
  );
}
