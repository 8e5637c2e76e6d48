/** Names as they can be read. Pure. */

/** What has no picture of its own, or turns the direction of what follows; joiners belong to letters and are left. */
const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A name in which nothing is hidden: such characters are written as in Python (`\\u202e`), blanks alone in quotes. */
export function visibleName(name: string): string {
  const seen = name.replace(UNSEEN, one => {
    const code = one.codePointAt(0)!.toString(16);
    return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`;
  });
  return seen !== '' && seen.trim() === '' ? `'${seen}'` : seen;
}
