/**
 * Datagrams whose inner payload was damaged on the way, and an application that must never see one.
 * This file is also both programs, for sockets belong to the namespace of their process:
 *
 *   send ADDRESS SEED   the peer: without end, flows of packets of which every other has a bit
 *                       flipped behind the headers, their checksums as they were before
 *   receive             the application: when its input ends it says how many datagrams came as
 *                       they were sent, and how many did not
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { pattern, udp4 } from './packets.ts';
import { Background } from './process.ts';
import { createRandom, type Random } from './random.ts';
import { inside } from './topology.ts';

const PROGRAM = fileURLToPath(import.meta.url);
const PORT = 9000;
const HEADERS = 28;
const PAYLOAD = pattern(200);
/** Neighbours of one flow: they would share a train if nobody looked at their checksums. */
const FLOW = 8;
/** Sent before the socket is given time to pass them on. */
const BURST = 64;

export function startSender(namespace: string, address: string, seed: number): Background {
  const program = [process.execPath, PROGRAM, 'send', address, String(seed)];
  return new Background(inside(namespace, program));
}

export async function startReceiver(namespace: string): Promise<Background> {
  const running = new Background(inside(namespace, [process.execPath, PROGRAM, 'receive']));
  await running.waitForOutput(/listening/);
  return running;
}

export interface Received {
  readonly whole: number;
  readonly damaged: number;
}

export async function endReceiver(running: Background): Promise<Received> {
  running.endInput();
  const { code } = await running.wait();
  if (code !== 0) throw new Error(running.describe());
  return JSON.parse(running.stdout.split('\n')[1]!) as Received;
}

/** Packets of one flow, whole and damaged in turn at random. */
function flow(random: Random): Buffer[] {
  const sourcePort = random.between(1024, 65_535);
  const first = random.below(65_536);
  return Array.from({ length: FLOW }, (_, i) => {
    const ip = { source: '10.244.2.2', destination: '10.244.1.2', dontFragment: true };
    const identification = (first + i) % 65_536;
    const fields = { sourcePort, destinationPort: PORT };
    const packet = Buffer.from(udp4(PAYLOAD, fields, { ...ip, identification }));
    if (random.oneIn(2)) {
      packet[random.between(HEADERS, packet.length - 1)]! ^= 1 << random.below(8);
    }
    return packet;
  });
}

async function send(address: string, seed: number): Promise<void> {
  const random = createRandom(seed);
  const socket = createSocket('udp4').bind(0);
  await once(socket, 'listening');
  socket.connect(8285, address);
  await once(socket, 'connect');
  // Made once: building them takes longer than sending them.
  const flows = Array.from({ length: 512 }, () => flow(random));
  for (;;) {
    for (let sent = 0; sent < BURST; sent += FLOW) {
      for (const packet of random.pick(flows)) socket.send(packet);
    }
    await new Promise<void>((resolve) => socket.send(random.pick(flows)[0]!, () => resolve()));
  }
}

async function receive(): Promise<void> {
  const counts = { whole: 0, damaged: 0 };
  const socket = createSocket('udp4').bind(PORT);
  socket.on('message', (message) => {
    if (message.equals(PAYLOAD)) counts.whole++;
    else counts.damaged++;
  });
  await once(socket, 'listening');
  process.stdout.write('listening\n');
  await once(process.stdin.resume(), 'end');
  socket.close();
  process.stdout.write(`${JSON.stringify(counts)}\n`);
}

if (process.argv[1] === PROGRAM) {
  const [what, address, seed] = process.argv.slice(2);
  await (what === 'send' ? send(address!, Number(seed)) : receive());
}
