/** What the kernel counts of a device: proc(5). */
import { PROC_NET, readProc } from '../proc.ts';

/** Fields of /proc/net/dev: eight of the receive side come first. */
const TRANSMIT_DROPS = 8 + 3;

/**
 * Packets that the kernel could not put into the device's queue since the device was made, or
 * undefined where there is no such device. The calling thread's network namespace counts, which
 * /sys would not follow.
 */
export function readTransmitDrops(device: string): number | undefined {
  const lines = readProc(`${PROC_NET}/dev`).split('\n');
  const line = lines.find((candidate) => candidate.trimStart().startsWith(`${device}:`));
  if (line === undefined) return undefined;
  const fields = line
    .slice(line.indexOf(':') + 1)
    .trim()
    .split(/\s+/);
  return Number(fields[TRANSMIT_DROPS]);
}
