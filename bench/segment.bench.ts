/** A superpacket cut into segments: headers written, sums made, payload left in place. */
import { createSegmenter } from '../src/offload/segment.ts';
import { loadSum } from '../src/wire/checksum.ts';
import * as virtio from '../src/wire/virtio.ts';
import { pattern, tcp4, tcp6, udp4 } from '../test/support/packets.ts';
import { type Case, hashBytes, type MicroBench, mix, packetMemory, type Size } from './harness.ts';

const SEGMENTS = { small: 3, real: 44 };
const SEGMENT_BYTES = 1400;
const PACKET_AT = 1024;
const STRIP_AT = 128 * 1024;

interface Kind {
  readonly name: string;
  readonly packet: (payload: Uint8Array) => Uint8Array;
  readonly type: number;
  /** IP header's length, and the checksum field's place behind it. */
  readonly checksum: readonly [start: number, offset: number];
}

const KINDS: readonly Kind[] = [
  {
    name: 'TCP over IPv4',
    packet: (payload) => tcp4(payload),
    type: virtio.VIRTIO_GSO_TCPV4,
    checksum: [20, 16],
  },
  {
    name: 'TCP over IPv6',
    packet: (payload) => tcp6(payload),
    type: virtio.VIRTIO_GSO_TCPV6,
    checksum: [40, 16],
  },
  {
    name: 'UDP over IPv4',
    packet: (payload) => udp4(payload),
    type: virtio.VIRTIO_GSO_UDP_L4,
    checksum: [20, 6],
  },
];

function cases(size: Size): readonly Case[] {
  return KINDS.map((kind) => createCase(kind, SEGMENTS[size]));
}

function createCase(kind: Kind, segments: number): Case {
  const { memory, bytes } = packetMemory(4 * 65_536);
  const packet = kind.packet(pattern(segments * SEGMENT_BYTES));
  bytes.set(packet, PACKET_AT);
  writeVirtioHeader(bytes, kind);
  const segmenter = createSegmenter(bytes, loadSum(memory));
  const run = () => {
    const count = segmenter.inspect(PACKET_AT, packet.length);
    if (count !== segments) throw new Error(`a superpacket of ${segments} was seen as ${count}`);
    segmenter.cut(STRIP_AT);
    // The last header alone: a look at all of them would cost more than the cut.
    const { stride, header } = segmenter.cuts;
    return mix(count, hashBytes(bytes, STRIP_AT + (count - 1) * stride, header));
  };
  return {
    ...{ name: `${kind.name}, ${segments} segments`, run },
    ...{ pieces: segments, piece: 'segment', bytes: segments * SEGMENT_BYTES },
  };
}

function writeVirtioHeader(bytes: Uint8Array, { type, checksum }: Kind): void {
  const header = PACKET_AT - virtio.VIRTIO_HEADER_LENGTH;
  const fields = new DataView(bytes.buffer, header, virtio.VIRTIO_HEADER_LENGTH);
  fields.setUint8(virtio.VIRTIO_FLAGS_AT, virtio.VIRTIO_NEEDS_CSUM);
  fields.setUint8(virtio.VIRTIO_GSO_TYPE_AT, type);
  fields.setUint16(virtio.VIRTIO_GSO_SIZE_AT, SEGMENT_BYTES, true);
  fields.setUint16(virtio.VIRTIO_CSUM_START_AT, checksum[0], true);
  fields.setUint16(virtio.VIRTIO_CSUM_OFFSET_AT, checksum[1], true);
}

export const segment: MicroBench = { name: 'segment', cases };
