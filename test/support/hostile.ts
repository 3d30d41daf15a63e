/** Text as somebody hostile would write it, and a slow look for what no terminal may get. */

/** A line of its own would begin with this word. */
const FORGED = 'FORGED';

/** Every kind of character that is not shown as it is, each beside an innocent one. */
export const HOSTILE = [
  ['\u001b[31mEVIL\u001b[0m', '\u001b]0;title\u0007', '\u001b[2J', '\u009b31m', '\u0090q\u009c'],
  [`line\n${FORGED}`, `line\r${FORGED}`, `line\r\n${FORGED}`, 'a\tb', 'a\bb', '\0', '\u007f'],
  ['\u202egnp.exe\u202c', '\u2066x\u2069', '\u200e\u200f\u061c', '\u2028', '\u2029', '\u0085'],
  ['\u200b\u200c\u200d\u2060\ufeff', '\u00ad', '\u034f', '\u115f\u3164', '\ufe0f', '\u180e'],
  ['\u{e0041}\u{e007f}', '\ud800', '\udfff', '\ufffe', '\u{1ffff}', '\u00a0', '\u3000'],
  [`Z${'\u0301'.repeat(50)}`, '漢字', '🙂', '"quoted" \\u001b \\ back'],
]
  .flat()
  .join(' ');

/** What of it argv, environment and file names can carry: no zero, and whole code points. */
export const HOSTILE_NAME = HOSTILE.replaceAll(/[\0/]|\p{Cs}/gu, '_').slice(0, 60);

type Range = readonly [first: number, last: number];

/** By hand, from Unicode's charts; what is fast asks Unicode's properties. */
const FORBIDDEN: readonly Range[] = [
  ...([
    [0, 9],
    [11, 31],
    [0x7f, 0xa0],
    [0xad, 0xad],
    [0x34f, 0x34f],
    [0x61c, 0x61c],
  ] as const),
  ...([
    [0x115f, 0x1160],
    [0x17b4, 0x17b5],
    [0x180b, 0x180f],
    [0x2000, 0x200f],
  ] as const),
  ...([
    [0x2028, 0x202f],
    [0x205f, 0x206f],
    [0x3000, 0x3000],
    [0x3164, 0x3164],
  ] as const),
  ...([
    [0xd800, 0xdfff],
    [0xfdd0, 0xfdef],
    [0xfe00, 0xfe0f],
    [0xfeff, 0xfeff],
  ] as const),
  ...([
    [0xffa0, 0xffa0],
    [0xfff0, 0xfffb],
    [0xfffe, 0xffff],
    [0x1d173, 0x1d17a],
  ] as const),
  ...([
    [0x1fffe, 0x1ffff],
    [0xe0000, 0xe0fff],
    [0x10fffe, 0x10ffff],
  ] as const),
];

/**
 * What of an output a terminal would obey or a reader could not see, each with its place; lines
 * that somebody else began count too. Line feeds are ours.
 * @param colours whether our own SGR sequences may be there
 */
export function rawControls(output: string, colours = false): string[] {
  const text = colours ? output.replaceAll(/\u001b\[\d{1,2}m/g, '') : output;
  const found: string[] = [];
  let at = 0;
  for (const character of text) {
    const point = character.codePointAt(0)!;
    if (FORBIDDEN.some(([first, last]) => point >= first && point <= last)) {
      const before = JSON.stringify(text.slice(Math.max(0, at - 30), at));
      found.push(`U+${point.toString(16)} after ${before}`);
    }
    at += character.length;
  }
  if (new RegExp(`^(weft: )?${FORGED}`, 'm').test(text)) found.push('a line of somebody else');
  return found.slice(0, 5);
}
