/** Files of /proc, and what they say of this process: proc(5). */
import { readFileSync } from 'node:fs';

/** Tables of the calling thread's network namespace; /proc/self has those of the main thread. */
export const PROC_NET = '/proc/thread-self/net';

/** The text of a file; empty where it is missing, not for us to read, or its process has ended. */
export function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The fields of each line that has any. */
export function readRows(path: string): string[][] {
  const lines = readProc(path).split('\n');
  return lines.filter((line) => line !== '').map((line) => line.trim().split(/\s+/));
}

/** Whether the process may configure the network: CAP_NET_ADMIN, bit 12 of capabilities(7). */
export function mayConfigureNetwork(): boolean {
  const status = readProc('/proc/self/status');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> 12n) & 1n) === 1n;
}
