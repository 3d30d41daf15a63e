import assert from 'node:assert/strict';
import {
  type Coalescer,
  type CoalesceWishes,
  createCoalescer,
} from '../../src/offload/coalesce.ts';
import { createSegmenter } from '../../src/offload/segment.ts';
import { loadSum } from '../../src/wire/checksum.ts';
import { slowSum } from './slow-checksum.ts';
import { pseudoHeader, shapeOf, slowSegment, virtioHeader } from './slow-segment.ts';

/**
 * A coalescer with memory to receive into, and what its trains hold in terms of the packets given.
 * A train is turned into the bytes the TUN would be written, and these are cut again twice: by the
 * slow twin and by the segmenter.
 */

const PAGES = 256;
const PLACED_AT = 256 * 1024;
const SUPERPACKET_AT = 64 + 16;
const STRIP = 128 * 1024;

export interface Train {
  /** Numbers of its packets, in the order they were given. */
  members: number[];
  /** What the TUN is written: a packet or a superpacket. */
  written: Uint8Array;
  /** Payload of each segment but the last. */
  size: number;
}

export interface Rig {
  coalescer: Coalescer;
  /** Joins packets of one batch, which must fit it, and returns its trains in their order. */
  coalesce(packets: readonly Uint8Array[]): Train[];
  /** The packets that a written superpacket is cut into, after twin and segmenter agree. */
  recut(train: Train): Uint8Array[];
}

export function createRig(wishes: CoalesceWishes = { tcp: true, udp: true }): Rig {
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
  const bytes = new Uint8Array(memory.buffer);
  const sum = loadSum(memory);
  const coalescer = createCoalescer(bytes, sum, wishes);
  const segmenter = createSegmenter(bytes, sum);
  const { trains } = coalescer;

  /** The long way for every packet, and again with the short way first: the trains are the same. */
  function coalesce(packets: readonly Uint8Array[]): Train[] {
    const expected = joinAll(packets, 4, true);
    const found = joinAll(packets, 1, false);
    assert.deepEqual(expected, found, 'the short way joins what the long way does');
    return found;
  }

  function joinAll(packets: readonly Uint8Array[], line: number, short: boolean): Train[] {
    const numbers = new Map<number, number>();
    const headers: number[] = [];
    let next = PLACED_AT;
    coalescer.clear();
    for (const [number, packet] of packets.entries()) {
      if (coalescer.full()) throw new Error('more packets than a batch holds');
      bytes.set(packet, next);
      numbers.set(next, number);
      headers.push(next + shapeOf(packet).header);
      if (!short || !coalescer.extend(next, packet.length)) coalescer.add(next, packet.length);
      // Datagrams that the kernel has joined lie one behind another, at any alignment.
      next += Math.ceil(packet.length / line) * line;
    }
    const numberOfSlice = new Map(headers.map((at, number) => [at, number]));
    return Array.from({ length: trains.count }, (_, train) => {
      const members = [numbers.get(trains.at[train]) ?? -1];
      for (const slice of slicesOf(train)) members.push(numberOfSlice.get(slice[0]) ?? -1);
      return { members, written: write(train), size: trains.size[train] };
    });
  }

  function slicesOf(train: number): [at: number, length: number][] {
    const row = train * (trains.sliceAt.length / trains.at.length);
    return Array.from({ length: trains.packets[train] - 1 }, (_, i) => [
      trains.sliceAt[row + i],
      trains.sliceLength[row + i],
    ]);
  }

  /** As the way in writes it: the first packet whole, then the slices. */
  function write(train: number): Uint8Array {
    const at = trains.at[train];
    const slices = trains.packets[train] > 1 ? slicesOf(train) : [];
    if (slices.length > 0) coalescer.finish(train);
    const length = slices.reduce((total, slice) => total + slice[1], trains.firstLength[train]);
    const written = new Uint8Array(length);
    let filled = trains.firstLength[train];
    written.set(bytes.subarray(at, at + filled));
    for (const [from, count] of slices) {
      written.set(bytes.subarray(from, from + count), filled);
      filled += count;
    }
    return written;
  }

  function recut(train: Train): Uint8Array[] {
    const { written, size } = train;
    checkSuperpacket(written);
    const expected = slowSegment(written, size);
    const { tcp, header } = shapeOf(written);
    const head = virtioHeader({
      flags: 1,
      gsoType: tcp ? 1 : 5,
      headerLength: header,
      gsoSize: size,
      checksumStart: 20,
      checksumOffset: tcp ? 16 : 6,
    });
    bytes.set(head, SUPERPACKET_AT - head.length);
    bytes.set(written, SUPERPACKET_AT);
    const segments = segmenter.inspect(SUPERPACKET_AT, written.length);
    if (segments !== expected.length) throw new Error(`${segments} segments, not the twin's`);
    segmenter.cut(STRIP);
    for (const [i, packet] of expected.entries()) {
      const at = STRIP + i * segmenter.cuts.stride;
      if (Buffer.compare(packet.subarray(0, header), bytes.subarray(at, at + header)) !== 0) {
        throw new Error(`header ${i} is not the twin's`);
      }
    }
    return expected;
  }

  return { coalescer, coalesce, recut };
}

/** What the kernel demands of a superpacket: lengths, header checksum, pseudo-header's sum. */
function checkSuperpacket(packet: Uint8Array): void {
  const view = new DataView(packet.buffer);
  const { tcp } = shapeOf(packet);
  if (view.getUint16(2) !== packet.length) throw new Error('total length');
  if (slowSum(packet, 0, 20) !== 0xffff) throw new Error('header checksum');
  if (!tcp && view.getUint16(24) !== packet.length - 20) throw new Error('UDP length');
  const pseudo = Uint8Array.from(pseudoHeader(packet));
  if (view.getUint16(20 + (tcp ? 16 : 6)) !== slowSum(pseudo, 0, pseudo.length)) {
    throw new Error("the pseudo-header's sum");
  }
}
