/** What /proc says of this thread's network namespace and of the process: proc(5). */
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

/** Whether the process may configure the network: CAP_NET_ADMIN, bit 12 of capabilities(7). */
export function mayConfigureNetwork(): boolean {
  const status = readFileSync('/proc/self/status', 'latin1');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> 12n) & 1n) === 1n;
}
