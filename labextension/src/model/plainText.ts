/* eslint-disable no-control-regex */
/** What a text that was meant for a terminal reads like there, once it is all written. Pure. */

/** Stands for the place from which a line begins anew. */
const ANEW = '\u0000';

/** The text without what controls a terminal; of a line that was written again and again, what it showed in the end. */
export function plain(text: string): string {
  return (
    text
      .replaceAll(ANEW, '')
      // Titles and links, up to the bell or to what ends a string.
      .replace(/\x1b[\]P^_X][^\x07\x1b\n]*(?:\x07|\x1b\\)?/g, '')
      .replace(/\r\x1b\[0?K|\x1b\[2K/g, ANEW)
      .replace(/\x1b\[[0-?]*[ -/]*[@-~]/g, '')
      .replace(/\x1b[ -/]*[0-~]/g, '')
      .replace(/\r+\n/g, '\n')
      .split('\n')
      .map(line => (/[\r\u0000]/.test(line) ? shown(line) : line))
      .join('\n')
      .replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '')
  );
}

/** A line that was written more than once: what stands over what. */
function shown(line: string): string {
  return line
    .slice(line.lastIndexOf(ANEW) + 1)
    .split('\r')
    .reduce((before, part) => part + before.slice(part.length), '');
}
