/** What /proc says of the process: proc(5). */
import { readFileSync } from 'node:fs';

/** Whether the process may configure the network: CAP_NET_ADMIN, bit 12 of capabilities(7). */
export function mayConfigureNetwork(): boolean {
  const status = readFileSync('/proc/self/status', 'latin1');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> 12n) & 1n) === 1n;
}
