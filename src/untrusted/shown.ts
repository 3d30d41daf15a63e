import { escapeText } from './text.ts';

/** How much of a strange value a message shows: enough to find it by. */
const SHOWN_CHARACTERS = 60;

/**
 * The beginning of a foreign text on one line, for messages. In memory of its own, so that a
 * message does not keep a megabyte alive.
 */
export function shown(text: string, most = SHOWN_CHARACTERS): string {
  return Buffer.from(escapeText(text, most)).toString();
}

/** The same in quotes. */
export function quoted(text: string, most?: number): string {
  return `"${shown(text, most)}"`;
}

/** So many faults are named; somebody who wrote more of them begins with these. */
const FAULTS_NAMED = 20;

/** The first faults of a list, each once, and how many more there are. */
export function firstFaults(faults: readonly string[], most = FAULTS_NAMED): string[] {
  const each = [...new Set(faults)];
  if (each.length <= most) return each;
  return [...each.slice(0, most), `and ${each.length - most} more`];
}
