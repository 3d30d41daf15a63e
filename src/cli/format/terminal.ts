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

/** Colour only on a terminal, and not where NO_COLOR is set to anything (no-color.org). */
export function paintFor(isTerminal: boolean, environment: NodeJS.ProcessEnv): Paint {
  const { NO_COLOR, TERM } = environment;
  const plain = !isTerminal || (NO_COLOR !== undefined && NO_COLOR !== '') || TERM === 'dumb';
  return plain ? (_, text) => text : (shade, text) => `\u001b[${SGR[shade]}m${text}\u001b[0m`;
}

/** Home, and clear to the end of the screen: what is refreshed does not flicker. */
export const REFRESH = '\u001b[H\u001b[J';
