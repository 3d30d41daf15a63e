/**
 * Any virtio_net_hdr before any packet: the segmenter never throws, reads and writes nothing beside
 * packet and strip, and what it cuts is what the slow twin cuts.
 *
 * A case is ten bytes of header and then the packet.
 */
import assert from 'node:assert/strict';
import { PLAIN, SEGMENTS_MAXIMUM } from '../../src/offload/segment.ts';
import { fuzz } from '../support/fuzz.ts';
import type { Random } from '../support/random.ts';
import { slowChecksum } from '../support/slow-checksum.ts';
import { slowSegment, virtioHeader } from '../support/slow-segment.ts';
import {
  AT,
  createCutter,
  generateSuperpacket,
  honestHeader,
  STRIP,
} from '../support/superpackets.ts';

const HEADER = 10;
const LONGEST = 65_535;
/** What lies around the packet, and behind the strip. */
const MARGIN = 256;
const { bytes, segmenter, cut } = createCutter();

interface Seen {
  readonly result: number;
  readonly left: Uint8Array;
}

function inspectAmong(header: Uint8Array, packet: Uint8Array, surroundings: number): Seen {
  const end = AT + packet.length;
  bytes.fill(surroundings, 0, AT - HEADER);
  bytes.fill(surroundings, end, end + MARGIN);
  bytes.set(header, AT - HEADER);
  bytes.set(packet, AT);
  const result = segmenter.inspect(AT, packet.length);
  const around = [bytes.subarray(0, AT - HEADER), bytes.subarray(end, end + MARGIN)];
  for (const side of around)
    assert.ok(
      side.every((byte) => byte === surroundings),
      'beside it',
    );
  assert.deepEqual(bytes.subarray(AT - HEADER, AT), header, 'the header is only read');
  return { result, left: bytes.slice(AT, end) };
}

/** A plain packet is as it was, but for the checksum that the kernel left (virtio 1.2 §5.1.6). */
function assertPlain(header: Uint8Array, packet: Uint8Array, left: Uint8Array): void {
  const view = new DataView(header.buffer, header.byteOffset, HEADER);
  const expected = packet.slice();
  if ((header[0] & 1) !== 0) {
    const [start, offset] = [view.getUint16(6, true), view.getUint16(8, true)];
    const checksum = slowChecksum(packet, start);
    const sent = checksum === 0 ? 0xffff : checksum;
    expected.set([sent >> 8, sent & 0xff], start + offset);
  }
  assert.deepEqual(left, expected);
}

function assertCut(packet: Uint8Array, segments: number): void {
  const { header, payload, size, stride } = segmenter.cuts;
  assert.ok(segments <= SEGMENTS_MAXIMUM && stride >= header);
  assert.equal(header + payload, packet.length);
  const end = STRIP + segments * stride;
  bytes.fill(0xee, STRIP - MARGIN, end + MARGIN);
  const pieces = cut();
  const fences = [bytes.subarray(STRIP - MARGIN, STRIP), bytes.subarray(end, end + MARGIN)];
  for (const fence of fences)
    assert.ok(
      fence.every((byte) => byte === 0xee),
      'beside the strip',
    );
  assert.deepEqual(bytes.slice(AT, AT + packet.length), packet, 'the packet is kept');
  const expected = slowSegment(packet, size);
  assert.equal(pieces.length, expected.length);
  for (const [i, piece] of pieces.entries()) {
    assert.equal(Buffer.compare(piece, expected[i]), 0, `segment ${i} is not the twin's`);
  }
}

function check(given: Uint8Array): string {
  const header = new Uint8Array(HEADER);
  header.set(given.subarray(0, HEADER));
  const packet = given.slice(HEADER, HEADER + LONGEST);
  const { result, left } = inspectAmong(header, packet, 0x00);
  const again = inspectAmong(header, packet, 0xff);
  assert.equal(again.result, result, 'what lies around must not matter');
  assert.deepEqual(again.left, left, 'what lies around must not matter');
  if (result === PLAIN) assertPlain(header, packet, left);
  else assert.deepEqual(left, packet, 'the packet is kept');
  if (result < PLAIN) return 'refused';
  if (result === PLAIN) return (header[0] & 1) === 0 ? 'plain' : 'finished';
  assertCut(packet, result);
  return 'cut';
}

function generate(random: Random): Uint8Array {
  const given = generateSuperpacket(random, random.below(41));
  const length = random.oneIn(20) ? given.packet.length : random.between(20, 600);
  const packet = given.packet.slice(0, length);
  const header = honestHeader({ packet: given.packet, size: given.size });
  if (random.oneIn(4)) header.gsoType = random.pick([0, 0x80 | header.gsoType, 3]);
  if (random.oneIn(8)) header.gsoSize = random.pick([0, 1, 7, 65_535]);
  if (random.oneIn(8)) header.flags = random.below(8);
  return Uint8Array.of(...virtioHeader(header), ...packet);
}

fuzz({ name: 'segment', generate, check, kinds: ['refused', 'plain', 'finished', 'cut'] });
