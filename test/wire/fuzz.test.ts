import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayAnswer } from '../../src/wire/icmp.ts';
import {
  checkIpv4,
  decrementTimeToLive,
  destination,
  fragmentField,
  headerChecksumValid,
  headerLength,
  source,
} from '../../src/wire/ipv4.ts';
import { checkIpv6, flowLabel, nextHeader, trafficClass } from '../../src/wire/ipv6.ts';
import { checkTcp, dataOffset, tcpFlags, tcpUrgentPointer } from '../../src/wire/tcp.ts';
import { checkUdp, udpChecksum, udpSourcePort } from '../../src/wire/udp.ts';
import {
  fragments4,
  gre4,
  icmp4,
  ipv4,
  sctp4,
  tcp4,
  tcp6,
  udp4,
  udp6,
} from '../support/packets.ts';
import { type Random, withSeed } from '../support/random.ts';

const ROUNDS = 20_000;
const AT = 4;

/** Bytes that fail the test when anything but `length` bytes at AT is read or written. */
function fenced(packet: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(AT + packet.length);
  bytes.set(packet, AT);
  const inside = (key: string | symbol) => {
    const index = typeof key === 'string' ? Number(key) : Number.NaN;
    assert.ok(index >= AT && index < bytes.length, `touched ${String(key)} of ${bytes.length}`);
    return index;
  };
  return new Proxy(bytes, {
    get: (target, key) => target[inside(key)],
    set: (target, key, value) => {
      target[inside(key)] = value;
      return true;
    },
  });
}

function generated(random: Random): Uint8Array {
  const payload = random.bytes(random.below(40));
  const options = { options: random.bytes(random.below(41)) };
  const make = random.pick([
    () => tcp4(payload, options, random.oneIn(2) ? options : {}),
    () => udp4(payload, {}, options),
    () => tcp6(payload, options),
    () => udp6(payload),
    () => icmp4(random.below(20), random.below(5), payload, options),
    () => sctp4(payload),
    () => gre4(udp4(payload)),
    () => random.pick(fragments4(udp4(random.bytes(60)), 24)),
    () => ipv4(payload, { protocol: random.below(256) }),
    () => random.bytes(random.below(80)),
  ]);
  return make();
}

/** Flips bits and cuts or grows the end, mostly where the lengths are. */
function mutated(packet: Uint8Array, random: Random): Uint8Array {
  const length = random.oneIn(2) ? packet.length : random.below(packet.length + 8);
  const bytes = new Uint8Array(length);
  bytes.set(packet.subarray(0, length));
  for (let flips = random.below(4); flips > 0 && length > 0; flips--) {
    const at = random.oneIn(2) ? random.below(Math.min(length, 8)) : random.below(length);
    bytes[at] ^= 1 << random.below(8);
  }
  return bytes;
}

function readTransport(bytes: Uint8Array, at: number, length: number): void {
  if (checkTcp(bytes, at, length) === 0) {
    assert.ok(dataOffset(bytes, at) <= length);
    tcpFlags(bytes, at);
    tcpUrgentPointer(bytes, at);
  }
  if (checkUdp(bytes, at, length) === 0) {
    udpSourcePort(bytes, at);
    udpChecksum(bytes, at);
  }
}

function readAll(bytes: Uint8Array, length: number): void {
  const mayBeAnswered = mayAnswer(bytes, AT, length);
  if (checkIpv4(bytes, AT, length) === 0) {
    source(bytes, AT);
    destination(bytes, AT);
    fragmentField(bytes, AT);
    headerChecksumValid(bytes, AT);
    decrementTimeToLive(bytes, AT);
    const header = headerLength(bytes, AT);
    readTransport(bytes, AT + header, length - header);
  } else {
    assert.ok(!mayBeAnswered);
  }
  if (checkIpv6(bytes, AT, length) === 0) {
    trafficClass(bytes, AT);
    flowLabel(bytes, AT);
    nextHeader(bytes, AT);
    readTransport(bytes, AT + 40, length - 40);
  }
}

test('no input makes a reader throw or touch a byte outside the packet', () => {
  withSeed((random) => {
    for (let round = 0; round < ROUNDS; round++) {
      const packet = mutated(generated(random), random);
      readAll(fenced(packet), packet.length);
    }
  });
});

test('every generated packet that is whole passes its check', () => {
  withSeed((random) => {
    for (let round = 0; round < 1000; round++) {
      const payload = random.bytes(random.below(100));
      const four = random.pick([tcp4, udp4, sctp4, gre4])(payload);
      assert.equal(checkIpv4(four, 0, four.length), 0);
      assert.ok(headerChecksumValid(four, 0));
      const six = random.pick([tcp6, udp6])(payload);
      assert.equal(checkIpv6(six, 0, six.length), 0);
    }
  });
});
