/**
 * Datagrams that a node must not let in, each kind with the one reason it is refused for, and a
 * sender for them: `sendFrom` starts this very file as a program inside a namespace, for only there
 * the outer source address is the namespace's own.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import * as packets from './packets.ts';
import { runAside } from './process.ts';
import { inside } from './topology.ts';

/** Who sends: a peer with a lease, a node whose lease is of another backend, or no node at all. */
export type Origin = 'peer' | 'other-backend' | 'outsider';

export interface BadDatagram {
  readonly kind: string;
  /** Label of the one counter that moves. */
  readonly reason: string;
  readonly bytes: Uint8Array;
  readonly origin: Origin;
}

const OWN_POD = '10.244.1.2';
const PEER_POD = '10.244.2.2';
const payload = packets.pattern(64);

/** A packet that is let in: from the peer's pod to ours, port 9 (discard). */
export function goodDatagram(fields: packets.Ipv4Options = {}): Uint8Array {
  const ip = { source: PEER_POD, destination: OWN_POD, ...fields };
  return packets.udp4(payload, { destinationPort: 9 }, ip);
}

function from(source: string): Uint8Array {
  return goodDatagram({ source });
}

function to(destination: string): Uint8Array {
  return goodDatagram({ destination });
}

function withByte(at: number, value: number): Uint8Array {
  return goodDatagram().with(at, value);
}

/** Total length (bytes 2 and 3) changed and the checksum made right again. */
function withTotalLength(change: number): Uint8Array {
  const packet = goodDatagram();
  const whole = packets.ipv4(new Uint8Array(packet.length - 20 + change), {
    source: PEER_POD,
    destination: OWN_POD,
  });
  packet.set(whole.subarray(0, 20));
  return packet;
}

function longer(extra: number): Uint8Array {
  const bytes = new Uint8Array(goodDatagram().length + extra);
  bytes.set(goodDatagram());
  return bytes;
}

function ofLength(length: number): Uint8Array {
  const fields = { source: PEER_POD, destination: OWN_POD };
  return packets.ipv4(packets.pattern(length - 20), fields);
}

function peer(reason: string, kinds: Readonly<Record<string, Uint8Array>>): BadDatagram[] {
  return Object.entries(kinds).map(([kind, bytes]) => ({ kind, reason, bytes, origin: 'peer' }));
}

/** Every kind, for node 1 of three with an inner MTU of 1472. */
export function badDatagrams(): BadDatagram[] {
  return [...malformed(), ...misaddressed()];
}

function malformed(): BadDatagram[] {
  return [
    ...peer('too_short', {
      'no payload': new Uint8Array(0),
      'two bytes': Uint8Array.of(0x45, 0),
      'a header less one byte': goodDatagram().subarray(0, 19),
    }),
    ...peer('not_ipv4', {
      IPv6: packets.udp6(payload),
      zeros: new Uint8Array(64),
      ones: new Uint8Array(64).fill(0xff),
      text: new TextEncoder().encode('POST / HTTP/1.1\r\nHost: example\r\n\r\n'),
      'version 5': withByte(0, 0x55),
    }),
    ...peer('bad_header', {
      'header length of 16': withByte(0, 0x44),
      'header length of 0': withByte(0, 0x40),
      'header longer than the datagram': goodDatagram().subarray(0, 40).with(0, 0x4f),
    }),
    ...peer('bad_length', {
      'truncated by one byte': goodDatagram().subarray(0, -1),
      'truncated after the header': goodDatagram().subarray(0, 20),
      'one byte too many': longer(1),
      'followed by 60,000 bytes': longer(60_000),
      'total length too large': withTotalLength(8),
      'total length less than the header': withByte(3, 12).with(2, 0),
    }),
    ...peer('bad_checksum', {
      'checksum of zero': withByte(10, 0).with(11, 0),
      'flipped TTL bit': withByte(8, 65),
      'flipped source bit': withByte(15, 3),
    }),
    ...peer('too_big', {
      'one byte over the MTU': ofLength(1473),
      'the largest UDP payload': ofLength(65_507),
    }),
  ];
}

function misaddressed(): BadDatagram[] {
  return [
    ...peer('spoofed_source', {
      'source of another node': from('10.244.4.2'),
      'source outside the overlay': from('198.51.100.7'),
      'source of a node that UDP does not reach': from('10.244.3.2'),
      'source of the underlay': from('192.0.2.2'),
    }),
    ...peer('martian_source', {
      'source of our own pod': from(OWN_POD),
      'source on loopback': from('127.0.0.1'),
      'source of all zeros': from('0.0.0.0'),
      'multicast source': from('224.0.0.1'),
      'broadcast source': from('255.255.255.255'),
    }),
    ...peer('foreign_destination', {
      'destination on another node': to('10.244.4.2'),
      'destination back at the sender': to('10.244.2.3'),
      'destination outside the overlay': to('198.51.100.7'),
      'destination on our underlay': to('192.0.2.1'),
      'multicast destination': to('224.0.0.1'),
      'broadcast destination': to('255.255.255.255'),
      'loopback destination': to('127.0.0.1'),
      'metadata service destination': to('169.254.169.254'),
    }),
    {
      kind: 'good packet of an outsider',
      reason: 'unknown_peer',
      bytes: goodDatagram(),
      origin: 'outsider',
    },
    {
      kind: 'good packet of a node that UDP does not reach',
      reason: 'unknown_peer',
      bytes: from('10.244.3.2'),
      origin: 'other-backend',
    },
  ];
}

/** Sends datagrams in order from a namespace to UDP port 8285 of an address. */
export async function sendFrom(
  namespace: string,
  address: string,
  datagrams: readonly Uint8Array[],
): Promise<void> {
  const argv = inside(namespace, [process.execPath, fileURLToPath(import.meta.url), address]);
  const input = datagrams.map((bytes) => `${Buffer.from(bytes).toString('hex')}\n`).join('');
  const { status, stdout, stderr } = await runAside(argv, { input });
  if (status !== 0 || stdout !== `sent ${datagrams.length}\n`) {
    throw new Error(`sending failed (${status}): ${stdout}${stderr}`);
  }
}

/** The program: datagrams as lines of hexadecimal on standard input. */
async function main(address: string): Promise<void> {
  const socket = createSocket('udp4').bind(0);
  await once(socket, 'listening');
  let input = '';
  for await (const text of process.stdin.setEncoding('utf8')) input += text;
  const lines = input.split('\n').slice(0, -1);
  for (const line of lines) {
    await new Promise<void>((resolve, reject) => {
      const sent = (error: Error | null) => (error ? reject(error) : resolve());
      socket.send(Buffer.from(line, 'hex'), 8285, address, sent);
    });
  }
  socket.close();
  process.stdout.write(`sent ${lines.length}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2]!);
