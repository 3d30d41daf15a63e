/**
 * Who is seen as the sender: a witness in one namespace prints, for each UDP datagram, its text and
 * its source address; a crowd in another opens a new flow for every datagram it sends. Both are
 * programs for a namespace, and end when their stdin does.
 */
import { createSocket } from 'node:dgram';
import { fileURLToPath } from 'node:url';
import { Background } from '../../support/process.ts';
import { inside } from '../../support/topology.ts';

export const PORT = 7000;
export const GROUP = '239.1.2.3';
const PAUSE_MS = 1;

function program(namespace: string, ...args: string[]): Background {
  const argv = [process.execPath, fileURLToPath(import.meta.url), ...args];
  return new Background(inside(namespace, argv));
}

/** Starts a witness; `groupAddress` is that of the interface where it also takes GROUP. */
export async function startWitness(namespace: string, groupAddress?: string): Promise<Background> {
  const witness = program(namespace, 'witness', ...(groupAddress ? [groupAddress] : []));
  await witness.waitForOutput(/^ready$/m);
  return witness;
}

/** Sends flow after flow to an address; at its end it prints how many. */
export async function startCrowd(namespace: string, address: string): Promise<Background> {
  const crowd = program(namespace, 'crowd', address);
  await crowd.waitForOutput(/^ready$/m);
  return crowd;
}

/** Source addresses by text, as a witness printed them. */
export function sightings(witness: Background): [text: string, source: string][] {
  return [...witness.stdout.matchAll(/^saw (\S+) from (\S+)$/gm)].map((row) => [row[1]!, row[2]!]);
}

function witness(groupAddress: string | undefined): void {
  const socket = createSocket('udp4');
  socket.on('message', (bytes, from) => {
    process.stdout.write(`saw ${bytes.toString()} from ${from.address}\n`);
  });
  socket.bind(PORT, '0.0.0.0', () => {
    if (groupAddress !== undefined) socket.addMembership(GROUP, groupAddress);
    process.stdout.write('ready\n');
  });
}

async function crowd(address: string, ended: Promise<void>): Promise<void> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  process.stdout.write('ready\n');
  let sent = 0;
  for (; !over; sent++) {
    const socket = createSocket('udp4');
    await new Promise((resolve) => socket.send(`${sent}`, PORT, address, resolve));
    socket.close();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  process.stdout.write(`sent ${sent}\n`);
}

const [role, address] = process.argv.slice(2);
if (process.argv[1] === fileURLToPath(import.meta.url) && role !== undefined) {
  const ended = new Promise<void>((resolve) => process.stdin.resume().once('end', resolve));
  if (role === 'witness') {
    witness(address);
    await ended;
  } else {
    await crowd(address!, ended);
  }
  process.exit(0);
}
