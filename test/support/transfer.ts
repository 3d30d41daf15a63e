/** So many bytes over one TCP connection between two pods, to the last of them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Background, runAside } from './process.ts';
import { STILL_MS } from './stillness.ts';
import { inside, type PodSpace } from './topology.ts';

/** Enough for superpackets, and for a window that has opened. */
const BYTES = 2_000_000;
const PATIENCE_SECONDS = STILL_MS / 1000;
let port = 7000;

/**
 * Sends a file and waits until the other end has all of it.
 * @param directory for the file
 * @throws Error where not all of it came
 */
export async function transfer(from: PodSpace, to: PodSpace, directory: string): Promise<void> {
  port += 1;
  const file = join(directory, 'transfer');
  writeFileSync(file, Buffer.alloc(BYTES, 'weft'));
  const listen = ['socat', '-d', '-d', '-u', `TCP-LISTEN:${port},reuseaddr`, 'SYSTEM:wc -c'];
  const receiver = new Background(inside(to.namespace, listen));
  try {
    await receiver.waitForOutput(/listening on/);
    const target = `TCP:${to.address}:${port},connect-timeout=${PATIENCE_SECONDS}`;
    const send = ['socat', '-u', `OPEN:${file}`, target];
    const sent = await runAside(inside(from.namespace, send));
    if (sent.status !== 0) throw new Error(`${from.address} to ${to.address}: ${sent.stderr}`);
    await receiver.wait();
    const came = Number(receiver.stdout);
    if (came !== BYTES) throw new Error(`${came} of ${BYTES} bytes came to ${to.address}`);
  } finally {
    if (receiver.end === undefined) await receiver.stop('SIGKILL');
  }
}
