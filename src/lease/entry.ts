/** What a source hands on of one entry: bounded, whatever somebody wrote there. */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { LIMITS, tooLong } from '../untrusted/json.ts';
import { escapeText } from '../untrusted/text.ts';
import type { LeaseEntry } from './source.ts';

/** Enough to find a key by. */
const SHOWN_BYTES = 60;

/**
 * The text of a key. One that is no text, or longer than any key of a lease, is told by its
 * beginning and a digest: it is refused by whatever name, and must not be taken for another one.
 */
export function keyText(key: Buffer): string {
  if (key.length <= LIMITS.leaseKeyBytes && isUtf8(key)) return key.toString();
  const digest = createHash('sha256').update(key).digest('hex').slice(0, 16);
  return `${escapeText(key.subarray(0, SHOWN_BYTES).toString())}…#${digest}`;
}

/** The entry of a key and its value; a value that is too long is left out, and said to be. */
export function entryOf(key: Buffer, value: Buffer, order: number): LeaseEntry {
  const { bytes: most } = LIMITS.leaseValue;
  if (value.length <= most) return { key: keyText(key), value: value.toString(), order };
  return { key: keyText(key), value: '', order, fault: tooLong(value.length, most) };
}
