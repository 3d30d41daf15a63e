import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  checksumOffset,
  checksumStart,
  clearVirtio,
  gsoSize,
  gsoType,
  guessedHeaderLength,
  headerFlags,
  VIRTIO_DATA_VALID,
  VIRTIO_GSO_ECN,
  VIRTIO_GSO_NONE,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  VIRTIO_GSO_UDP,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_HEADER_LENGTH,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_RSC_INFO,
  writeVirtio,
} from '../../src/wire/virtio.ts';
import { runSeed } from '../support/random.ts';

const seed = runSeed();
const AT = 3;

// A TCPv4 superpacket with ECN as a little-endian kernel writes it: 66 bytes of headers, 1380 of
// payload a segment, checksum from byte 20, at 16 from there.
const HEADER = [0x01, 0x81, 0x42, 0x00, 0x64, 0x05, 0x14, 0x00, 0x10, 0x00];

function surrounded(header: number[]): Uint8Array {
  const bytes = new Uint8Array(AT + VIRTIO_HEADER_LENGTH + 5).fill(0xa5);
  bytes.set(header, AT);
  return bytes;
}

test('fields of a literal header', () => {
  const bytes = surrounded(HEADER);
  assert.equal(headerFlags(bytes, AT), VIRTIO_NEEDS_CSUM);
  assert.equal(gsoType(bytes, AT), VIRTIO_GSO_TCPV4 | VIRTIO_GSO_ECN);
  assert.equal(guessedHeaderLength(bytes, AT), 66);
  assert.equal(gsoSize(bytes, AT), 1380);
  assert.equal(checksumStart(bytes, AT), 20);
  assert.equal(checksumOffset(bytes, AT), 16);
});

test('numbers are those of linux/virtio_net.h', () => {
  assert.deepEqual([VIRTIO_NEEDS_CSUM, VIRTIO_DATA_VALID, VIRTIO_RSC_INFO], [1, 2, 4]);
  const kinds = [VIRTIO_GSO_NONE, VIRTIO_GSO_TCPV4, VIRTIO_GSO_UDP, VIRTIO_GSO_TCPV6];
  assert.deepEqual(kinds, [0, 1, 3, 4]);
  assert.deepEqual([VIRTIO_GSO_UDP_L4, VIRTIO_GSO_ECN], [5, 0x80]);
});

test('what is written reads back, and nothing else is touched', () => {
  const byte = fc.integer({ min: 0, max: 0xff });
  const word = fc.integer({ min: 0, max: 0xffff });
  const record = fc.record({
    flags: byte,
    gsoType: byte,
    headerLength: word,
    gsoSize: word,
    checksumStart: word,
    checksumOffset: word,
  });
  fc.assert(
    fc.property(record, (fields) => {
      const bytes = surrounded([]);
      writeVirtio(bytes, AT, fields);
      assert.equal(headerFlags(bytes, AT), fields.flags);
      assert.equal(gsoType(bytes, AT), fields.gsoType);
      assert.equal(guessedHeaderLength(bytes, AT), fields.headerLength);
      assert.equal(gsoSize(bytes, AT), fields.gsoSize);
      assert.equal(checksumStart(bytes, AT), fields.checksumStart);
      assert.equal(checksumOffset(bytes, AT), fields.checksumOffset);
      clearVirtio(bytes, AT);
      assert.deepEqual(bytes, surrounded(new Array(VIRTIO_HEADER_LENGTH).fill(0)));
    }),
    { seed },
  );
});

test('a written header is the kernel’s, byte for byte', () => {
  const bytes = surrounded([]);
  writeVirtio(bytes, AT, {
    flags: VIRTIO_NEEDS_CSUM,
    gsoType: VIRTIO_GSO_TCPV4 | VIRTIO_GSO_ECN,
    headerLength: 66,
    gsoSize: 1380,
    checksumStart: 20,
    checksumOffset: 16,
  });
  assert.deepEqual(bytes, surrounded(HEADER));
});
