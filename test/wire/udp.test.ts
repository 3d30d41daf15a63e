import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  checkUdp,
  setUdpChecksum,
  setUdpLength,
  UDP_BAD_LENGTH,
  UDP_TOO_SHORT,
  udpChecksum,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
} from '../../src/wire/udp.ts';
import { udpDatagram } from '../support/packets.ts';
import { runSeed } from '../support/random.ts';

const seed = runSeed();
const AT = 5;
const DATAGRAM = Uint8Array.of(0xbf, 0xf1, 0x20, 0x5d, 0x00, 0x0b, 0x12, 0x4d, 0xaa, 0x00, 0xff);

function placed(datagram: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(AT + datagram.length + 5).fill(0xa5);
  bytes.set(datagram, AT);
  return bytes;
}

test('fields of a literal datagram', () => {
  const bytes = placed(DATAGRAM);
  assert.equal(checkUdp(bytes, AT, DATAGRAM.length), 0);
  assert.equal(udpSourcePort(bytes, AT), 49_137);
  assert.equal(udpDestinationPort(bytes, AT), 8285);
  assert.equal(udpLength(bytes, AT), 11);
  assert.equal(udpChecksum(bytes, AT), 0x124d);
});

test('impossible lengths are named', () => {
  const change = (length: number) => placed(Uint8Array.from(DATAGRAM).with(5, length));
  assert.equal(checkUdp(placed(DATAGRAM), AT, 0), UDP_TOO_SHORT);
  assert.equal(checkUdp(placed(DATAGRAM), AT, 7), UDP_TOO_SHORT);
  assert.equal(checkUdp(placed(DATAGRAM), AT, 10), UDP_BAD_LENGTH);
  assert.equal(checkUdp(placed(DATAGRAM), AT, 12), UDP_BAD_LENGTH);
  assert.equal(checkUdp(change(0), AT, 11), UDP_BAD_LENGTH);
  assert.equal(checkUdp(change(7), AT, 11), UDP_BAD_LENGTH);
  assert.equal(checkUdp(change(8), AT, 8), 0);
});

test('every datagram reads back', () => {
  const port = fc.integer({ min: 0, max: 0xffff });
  fc.assert(
    fc.property(port, port, fc.uint8Array({ maxLength: 300 }), (from, to, payload) => {
      const bytes = placed(udpDatagram(payload, { sourcePort: from, destinationPort: to }));
      assert.equal(checkUdp(bytes, AT, 8 + payload.length), 0);
      assert.equal(udpSourcePort(bytes, AT), from);
      assert.equal(udpDestinationPort(bytes, AT), to);
      assert.equal(udpLength(bytes, AT), 8 + payload.length);
      assert.equal(udpChecksum(bytes, AT), 0);
    }),
    { seed },
  );
});

test('setters change their own field alone', () => {
  const bytes = placed(DATAGRAM);
  setUdpLength(bytes, AT, 0x1234);
  setUdpChecksum(bytes, AT, 0x5678);
  const expected = placed(DATAGRAM);
  expected.set([0x12, 0x34, 0x56, 0x78], AT + 4);
  assert.deepEqual(bytes, expected);
});
