import { escapeText } from '../../untrusted/text.ts';

/** What a text means for whoever reads it; how it looks is the terminal's business. */
export type Shade = 'good' | 'bad' | 'doubtful' | 'quiet' | 'strong';

/** Wraps a text in its colour, or leaves it as it is. */
export type Paint = (shade: Shade, text: string) => string;

/** SGR parameters of ECMA-48 that terminals of both light and dark ground show well. */
const SGR: Readonly<Record<Shade, number>> = {
  good: 32,
  bad: 31,
  doubtful: 33,
  quiet: 2,
  strong: 1,
};

/**
 * Stands for our own colours in a text until it leaves by `toTerminal`. Nobody who writes leases
 * can know it, so what comes from outside never becomes a colour.
 */
const SECRET = Math.random().toString(36).slice(2);
const mark = (parameter: number): string => `\u0001${SECRET}:${parameter}\u0002`;
const MARKS = new RegExp(`\u0001${SECRET}:(\\d+)\u0002`);

/** Colour only on a terminal, and not where NO_COLOR is set to anything (no-color.org). */
export function paintFor(isTerminal: boolean, environment: NodeJS.ProcessEnv): Paint {
  const { NO_COLOR, TERM } = environment;
  const plain = !isTerminal || (NO_COLOR !== undefined && NO_COLOR !== '') || TERM === 'dumb';
  return plain ? (_, text) => text : (shade, text) => `${mark(SGR[shade])}${text}${mark(0)}`;
}

/** A line of a table for 100 columns is far shorter; one of a finding is a sentence or two. */
const MOST_LINE_CHARACTERS = 8_000;

/**
 * One line as a terminal gets it: our own colours, and everything else escaped.
 * @param most characters of it beside the colours
 */
export function toTerminal(line: string, most = MOST_LINE_CHARACTERS): string {
  let left = most;
  // Split by a pattern with a group: texts and the parameters between them take turns.
  return line
    .split(MARKS)
    .map((part, index) => {
      if (index % 2 === 1) return `\u001b[${part}m`;
      const shown = left > 0 ? escapeText(part, left) : '';
      left -= part.length;
      return shown;
    })
    .join('');
}

/** Home, and clear to the end of the screen: what is refreshed does not flicker. */
export const REFRESH = '\u001b[H\u001b[J';
