/**
 * A pod's UDP conversation with several subnets at once, one numbered packet to each every
 * millisecond, and the far ends of it: `echo` plays a whole node behind the wire. It takes
 * datagrams on port 8285, turns the inner packet round and signs it, so that the pod knows for each
 * number which node answered. Both are programs for a namespace; `UdpProbe` runs the first.
 */
import { createSocket, type Socket } from 'node:dgram';
import { fileURLToPath } from 'node:url';
import { Background } from './process.ts';
import { inside } from './topology.ts';

const PORT = 9000;
const INTERVAL_MS = 1;
/** Payload: sequence number, which target, and where the answering node signs. */
const PAYLOAD = 6;
const TARGET_AT = 4;
const SIGNATURE_AT = 5;
/** As many looks in a row without an answer end the conversation. */
const QUIET_LOOKS = 10;
const QUIET_LOOK_MS = 50;
const IPV4_SOURCE_AT = 12;
const UDP_CHECKSUM_AT = 26;
const PAYLOAD_AT = 28;

/** What became of one packet; `answeredBy` is the signature, 0 when lost. */
export interface Fate {
  /** Of the system's monotonic clock, which all processes share. */
  readonly sentMs: number;
  readonly answeredBy: number;
}

/** Monotonic milliseconds, comparable with `Fate.sentMs`. */
export function nowMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

export class UdpProbe {
  private readonly process: Background;

  private constructor(process: Background) {
    this.process = process;
  }

  static async start(namespace: string, targets: readonly string[]): Promise<UdpProbe> {
    const argv = [process.execPath, fileURLToPath(import.meta.url), 'probe', ...targets];
    const probe = new Background(inside(namespace, argv));
    await probe.waitForOutput(/^ready/);
    return new UdpProbe(probe);
  }

  /** Ends the conversation; the fates of all packets, a list for each target. */
  async stop(): Promise<Fate[][]> {
    this.process.endInput();
    const end = await this.process.wait();
    if (end.code !== 0) throw new Error(this.process.describe());
    return JSON.parse(this.process.stdout.replace(/^ready\n/, '')) as Fate[][];
  }
}

/** Starts a node of nothing but echo; it signs with a number from 1 to 255. */
export async function startEcho(
  namespace: string,
  address: string,
  signature: number,
): Promise<Background> {
  const argv = [process.execPath, fileURLToPath(import.meta.url), 'echo', address];
  const echo = new Background(inside(namespace, [...argv, String(signature)]));
  await echo.waitForOutput(/^ready/);
  return echo;
}

function probe(targets: readonly string[]): void {
  const socket = createSocket('udp4');
  const fates: { sentMs: number; answeredBy: number }[][] = targets.map(() => []);
  socket.on('message', (message) => {
    const fate = fates[message[TARGET_AT]!]?.[message.readUInt32BE(0)];
    if (fate !== undefined) fate.answeredBy = message[SIGNATURE_AT]!;
  });
  socket.on('error', () => undefined); // an ICMP error is a packet's fate, not ours
  const tick = () => {
    targets.forEach((address, target) => {
      const message = Buffer.alloc(PAYLOAD);
      message.writeUInt32BE(fates[target]!.length, 0);
      message[TARGET_AT] = target;
      fates[target]!.push({ sentMs: nowMs(), answeredBy: 0 });
      socket.send(message, PORT, address, () => undefined);
    });
  };
  socket.bind(PORT, () => {
    const timer = setInterval(tick, INTERVAL_MS);
    process.stdout.write('ready\n');
    process.stdin.resume().once('end', () => {
      clearInterval(timer);
      whenQuiet(socket, () => {
        socket.close();
        process.stdout.write(JSON.stringify(fates));
      });
    });
  });
}

/** Answers under way still arrive; what has not come once none comes any more is lost. */
function whenQuiet(socket: Socket, then: () => void): void {
  let quiet = 0;
  socket.on('message', () => {
    quiet = 0;
  });
  const timer = setInterval(() => {
    quiet += 1;
    if (quiet <= QUIET_LOOKS) return;
    clearInterval(timer);
    then();
  }, QUIET_LOOK_MS);
}

function echo(address: string, signature: number): void {
  const socket = createSocket('udp4');
  socket.on('message', (packet, sender) => {
    const source = Buffer.from(packet.subarray(IPV4_SOURCE_AT, IPV4_SOURCE_AT + 4));
    packet.copyWithin(IPV4_SOURCE_AT, IPV4_SOURCE_AT + 4, IPV4_SOURCE_AT + 8);
    source.copy(packet, IPV4_SOURCE_AT + 4);
    packet.writeUInt16BE(0, UDP_CHECKSUM_AT); // "not computed" (RFC 768), for the payload changes
    packet[PAYLOAD_AT + SIGNATURE_AT] = signature;
    socket.send(packet, sender.port, sender.address);
  });
  socket.bind(8285, address, () => process.stdout.write('ready\n'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [role, ...rest] = process.argv.slice(2);
  if (role === 'probe') probe(rest);
  else echo(rest[0]!, Number(rest[1]));
}
