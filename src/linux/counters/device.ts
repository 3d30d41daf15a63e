/** What the kernel counts of a device: proc(5). */
import { readFileSync } from 'node:fs';

/** Fields of /proc/net/dev: eight of the receive side come first. */
const TRANSMIT_DROPS = 8 + 3;

/**
 * Packets that the kernel could not put into the device's queue since the device was made, or
 * undefined where there is no such device. The calling thread's network namespace counts, which
 * /sys would not follow.
 */
export function readTransmitDrops(device: string): number | undefined {
  const lines = readFileSync('/proc/thread-self/net/dev', 'latin1').split('\n');
  const line = lines.find((candidate) => candidate.trimStart().startsWith(`${device}:`));
  if (line === undefined) return undefined;
  const fields = line
    .slice(line.indexOf(':') + 1)
    .trim()
    .split(/\s+/);
  return Number(fields[TRANSMIT_DROPS]);
}
