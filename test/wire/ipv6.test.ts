import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  buildIpv6,
  checkIpv6,
  decrementHopLimit,
  flowLabel,
  hopLimit,
  IPV6_BAD_PAYLOAD_LENGTH,
  IPV6_DESTINATION_AT,
  IPV6_NOT_VERSION_6,
  IPV6_SOURCE_AT,
  IPV6_TOO_SHORT,
  nextHeader,
  payloadLength,
  setPayloadLength,
  setTrafficClass,
  trafficClass,
} from '../../src/wire/ipv6.ts';
import { ipv6, pattern } from '../support/packets.ts';
import { runSeed } from '../support/random.ts';

const seed = runSeed();
const AT = 3;
const SOURCE = pattern(16);
const DESTINATION = pattern(32).subarray(16);

const PACKET = Uint8Array.from([
  ...[0x6b, 0x9f, 0xed, 0xcb, 0x00, 0x02, 0x11, 0x40],
  ...SOURCE,
  ...DESTINATION,
  ...[0xaa, 0xbb],
]);

function placed(packet: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(AT + packet.length + 5).fill(0xa5);
  bytes.set(packet, AT);
  return bytes;
}

test('fields of a literal packet', () => {
  const bytes = placed(PACKET);
  assert.equal(checkIpv6(bytes, AT, PACKET.length), 0);
  assert.equal(trafficClass(bytes, AT), 0xb9);
  assert.equal(flowLabel(bytes, AT), 0xfedcb);
  assert.equal(payloadLength(bytes, AT), 2);
  assert.equal(nextHeader(bytes, AT), 17);
  assert.equal(hopLimit(bytes, AT), 64);
  const addresses = AT + IPV6_SOURCE_AT;
  assert.deepEqual(bytes.slice(addresses, AT + IPV6_DESTINATION_AT), Uint8Array.from(SOURCE));
  assert.deepEqual(bytes.slice(addresses + 16, addresses + 32), Uint8Array.from(DESTINATION));
});

test('impossible lengths and versions are named', () => {
  const change = (at: number, value: number) => Uint8Array.from(PACKET).with(at, value);
  const cases: [string, Uint8Array, number, number][] = [
    ['nothing', PACKET, 0, IPV6_TOO_SHORT],
    ['a byte short of a header', PACKET, 39, IPV6_TOO_SHORT],
    ['IPv4', change(0, 0x45), 42, IPV6_NOT_VERSION_6],
    ['version 7', change(0, 0x7b), 42, IPV6_NOT_VERSION_6],
    ['payload length a byte less', change(5, 1), 42, IPV6_BAD_PAYLOAD_LENGTH],
    ['payload length a byte more', change(5, 3), 42, IPV6_BAD_PAYLOAD_LENGTH],
    ['a jumbogram', change(5, 0), 42, IPV6_BAD_PAYLOAD_LENGTH],
    ['truncated payload', PACKET, 41, IPV6_BAD_PAYLOAD_LENGTH],
    ['header alone', change(5, 0), 40, 0],
    ['as it should be', PACKET, 42, 0],
  ];
  for (const [name, packet, length, verdict] of cases) {
    assert.equal(checkIpv6(placed(packet), AT, length), verdict, name);
  }
});

test('what is built is what the RFC builds, and nothing else is touched', () => {
  const record = fc.record({
    trafficClass: fc.integer({ min: 0, max: 0xff }),
    flowLabel: fc.integer({ min: 0, max: 0xfffff }),
    nextHeader: fc.integer({ min: 0, max: 0xff }),
    hopLimit: fc.integer({ min: 0, max: 0xff }),
    source: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    destination: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  });
  fc.assert(
    fc.property(record, fc.integer({ min: 0, max: 1500 }), (fields, length) => {
      const expected = placed(ipv6(new Uint8Array(length).fill(0xa5), fields));
      const bytes = new Uint8Array(expected.length).fill(0xa5);
      assert.equal(buildIpv6(bytes, AT, { ...fields, payloadLength: length }), 40);
      assert.deepEqual(bytes, expected);
      assert.equal(checkIpv6(bytes, AT, 40 + length), 0);
      assert.equal(trafficClass(bytes, AT), fields.trafficClass);
      assert.equal(flowLabel(bytes, AT), fields.flowLabel);
    }),
    { seed },
  );
});

test('setters change their own field alone', () => {
  const bytes = placed(PACKET);
  setTrafficClass(bytes, AT, 0x12);
  assert.equal(trafficClass(bytes, AT), 0x12);
  assert.equal(flowLabel(bytes, AT), 0xfedcb);
  setPayloadLength(bytes, AT, 0x3456);
  const expected = placed(PACKET);
  expected.set([0x61, 0x2f, 0xed, 0xcb, 0x34, 0x56], AT);
  assert.deepEqual(bytes, expected);
});

test('one hop never wraps', () => {
  for (let limit = 0; limit <= 255; limit++) {
    const bytes = ipv6(pattern(4), { hopLimit: limit });
    const expected = Uint8Array.from(bytes).with(7, limit > 1 ? limit - 1 : limit);
    assert.equal(decrementHopLimit(bytes, 0), limit > 1);
    assert.deepEqual(bytes, expected);
  }
});
