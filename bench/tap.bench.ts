/** What a tap costs a pump by the packet: while nobody listens, and by what a listener wants. */
import * as ring from '../src/dataplane/tap/ring.ts';
import { createTap } from '../src/dataplane/tap/writer.ts';
import { SOCKADDR_WORDS, writeSockaddr } from '../src/sys/sockaddr.ts';
import * as ipv4 from '../src/wire/ipv4.ts';
import { pattern, tcp4 } from '../test/support/packets.ts';
import { type Case, type MicroBench, mix, packetMemory, type Size } from './harness.ts';

/** Packets of a run; a multiple of what is thinned out, so that each run does the same work. */
const ROUNDS = { small: 1, real: 100 };
/** After so many main has emptied the ring: it never fills, but where the case says so. */
const ROUND = 200;
const STRIDE = 1_536;
const PAYLOAD = 1_380;
const THINNED = 100;

interface Wanted {
  readonly name: string;
  readonly mode?: number;
  readonly every?: number;
  readonly snapLength?: number;
  readonly protocol?: number;
  readonly port?: number;
  /** Nobody empties the ring. */
  readonly full?: true;
}

const WANTED: readonly Wanted[] = [
  { name: 'nobody listens' },
  { name: `one of ${THINNED}, 96 bytes`, mode: ring.MODE_PACKETS, every: THINNED },
  { name: 'a port that none has', mode: ring.MODE_PACKETS, port: 1 },
  { name: 'drops only', mode: ring.MODE_DROPS },
  { name: 'all, 96 bytes', mode: ring.MODE_PACKETS },
  { name: 'all, whole', mode: ring.MODE_PACKETS, snapLength: 65_535 },
  { name: 'all, the ring is full', mode: ring.MODE_PACKETS, snapLength: 65_535, full: true },
];

/** Every case reads a word of each packet, as a pump does; `without` does nothing else. */
function cases(size: Size): readonly Case[] {
  const rounds = ROUNDS[size];
  const { bytes } = packetMemory(ROUND * STRIDE);
  for (let i = 0; i < ROUND; i++) {
    const packet = tcp4(pattern(PAYLOAD), { destinationPort: 5_201 }, { identification: i });
    bytes.set(packet, i * STRIDE);
  }
  const length = PAYLOAD + 40;
  const shape = { pieces: rounds * ROUND, piece: 'packet', bytes: 0 };
  const without = () => {
    let hash = length;
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < ROUND; i++) hash = mix(hash, ipv4.destination(bytes, i * STRIDE));
    }
    return hash;
  };
  return [
    { name: 'without a tap', run: without, ...shape },
    ...WANTED.map((wanted) => ({
      name: wanted.name,
      ...shape,
      run: watched(wanted, bytes, rounds),
    })),
  ];
}

function watched(wanted: Wanted, bytes: Uint8Array, rounds: number): () => number {
  const memory = new SharedArrayBuffer(ring.RING_BYTES);
  const words = new Int32Array(memory);
  const length = PAYLOAD + 40;
  words[ring.MODE] = wanted.mode ?? 0;
  words[ring.EVERY] = wanted.every ?? 1;
  words[ring.DROPS_EVERY] = 1;
  words[ring.SNAP_LENGTH] = wanted.snapLength ?? 96;
  words[ring.PORT] = wanted.port ?? 0;
  // A ring that is full from the beginning: what was written is a whole ring ahead.
  if (wanted.full) words[ring.READ] = -ring.RECORD_BYTES;
  const tap = createTap(bytes, memory, 0);
  const names = new Int32Array(SOCKADDR_WORDS);
  writeSockaddr(names, 0, '192.0.2.2', 8285);
  return () => {
    let hash = length;
    for (let round = 0; round < rounds; round++) {
      tap.refresh();
      for (let i = 0; i < ROUND; i++) {
        const at = i * STRIDE;
        hash = mix(hash, ipv4.destination(bytes, at));
        if (tap.mode !== 0) tap.packet(at, length, 0, names, 0);
      }
      if (!wanted.full) words[ring.READ] = words[ring.WRITTEN]!;
    }
    return hash;
  };
}

export const tap: MicroBench = { name: 'tap', cases };
