/** Received segments joined into trains, in the patterns in which GRO hands them over. */
import { createCoalescer } from '../src/offload/coalesce.ts';
import { TRAINS } from '../src/offload/trains.ts';
import { loadSum } from '../src/wire/checksum.ts';
import { pattern, tcp4, udp4 } from '../test/support/packets.ts';
import { type Case, type MicroBench, mix, packetMemory, type Size } from './harness.ts';

const PACKETS = { small: 12, real: 120 };
const PAYLOAD = 1400;
/** Distance between two packets in the memory. */
const STRIDE = 2048;
const HEADERS = 40;

/** The packet number `index` of a batch. */
type Arrival = (index: number) => Uint8Array;

const tcpOf = (flow: number, place: number, payload = PAYLOAD) =>
  tcp4(
    pattern(payload),
    { sourcePort: 40_000 + flow, sequence: 1000 + place * payload },
    { dontFragment: true },
  );

const ARRIVALS: readonly (readonly [string, Arrival, number])[] = [
  ['TCP, 1 flow', (i) => tcpOf(0, i), PAYLOAD],
  ['TCP, 4 flows in turn', (i) => tcpOf(i % 4, Math.floor(i / 4)), PAYLOAD],
  ['TCP, a flow each', (i) => tcpOf(i, 0), PAYLOAD],
  ['TCP, acknowledgements alone', (i) => tcpOf(0, i, 0), 0],
  ['UDP, 1 flow', () => udp4(pattern(PAYLOAD), {}, { dontFragment: true }), PAYLOAD],
];

function cases(size: Size): readonly Case[] {
  return ARRIVALS.map(([name, arrival, payload]) => {
    const count = Math.min(PACKETS[size], TRAINS);
    const shared = { pieces: count, piece: 'packet', bytes: count * payload };
    return { name: `${name}, ${count} packets`, ...shared, run: createRun(arrival, count) };
  });
}

function createRun(arrival: Arrival, count: number): () => number {
  const { memory, bytes } = packetMemory((count + 1) * STRIDE);
  const packets = Array.from({ length: count }, (_, index) => arrival(index));
  const lengths = Int32Array.from(packets, ({ length }) => length);
  for (const [index, packet] of packets.entries()) bytes.set(packet, (index + 1) * STRIDE);
  const received = bytes.slice();
  const coalescer = createCoalescer(bytes, loadSum(memory), { tcp: true, udp: true });
  const { trains } = coalescer;
  return () => {
    coalescer.clear();
    for (let i = 0; i < count; i++) coalescer.add((i + 1) * STRIDE, lengths[i]!);
    let hash = trains.count;
    for (let train = 0; train < trains.count; train++) {
      hash = mix(hash, trains.packets[train]!);
      hash = mix(hash, trains.payload[train]!);
      if (trains.packets[train]! < 2) continue;
      coalescer.finish(train);
      restore(bytes, received, trains.at[train]!);
    }
    return hash;
  };
}

/** A superpacket's header becomes that of its first packet again, for the next run. */
function restore(bytes: Uint8Array, received: Uint8Array, at: number): void {
  for (let i = at; i < at + HEADERS; i++) bytes[i] = received[i]!;
}

export const coalesce: MicroBench = { name: 'coalesce', cases };
