import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BAD_OFFLOAD, MALFORMED_OFFLOAD, PLAIN } from '../../src/offload/segment.ts';
import { OUTBOX_DATAGRAMS } from '../../src/udp/runs.ts';
import { pattern, tcp4, tcp6, udp4, udp6 } from '../support/packets.ts';
import { type Random, withSeed } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';
import { shapeOf, slowSegment, type VirtioWords, virtioHeader } from '../support/slow-segment.ts';
import {
  AT,
  createCutter,
  generateSuperpacket,
  honestHeader,
  STRIP,
  type Superpacket,
  unfinished,
  withZeroSum,
} from '../support/superpackets.ts';

const SUPERPACKETS = rounds(20_000);
const FUZZ = rounds(150_000);
/** What lies around the packet that nobody may read. */
const MARGIN = 256;

const { bytes, segmenter, inspect, cut } = createCutter();

const FIN = 0x01;
const PSH = 0x08;
const ACK = 0x10;
const ECE = 0x40;
const CWR = 0x80;

function assertSame(actual: Uint8Array[], expected: Uint8Array[], what: () => string): void {
  assert.equal(actual.length, expected.length, what());
  for (const [i, packet] of expected.entries()) {
    if (Buffer.compare(packet, actual[i]) === 0) continue;
    assert.equal(hex(actual[i]), hex(packet), `segment ${i} of ${what()}`);
  }
}

function hex(packet: Uint8Array): string {
  return Buffer.from(packet).toString('hex');
}

function compareWithTwin(given: Superpacket, header = honestHeader(given)): Uint8Array[] {
  const what = () => `${JSON.stringify(header)} of ${hex(given.packet.subarray(0, 120))}`;
  const expected = slowSegment(given.packet, given.size);
  assert.equal(inspect(given.packet, header), expected.length, what());
  const actual = cut();
  assertSame(actual, expected, what);
  return actual;
}

test('segments equal those of the slow twin', () => {
  withSeed((random) => {
    for (let i = 0; i < SUPERPACKETS; i++) compareWithTwin(generateSuperpacket(random, i));
  });
});

test('every length of TCP options is carried to every segment', () => {
  for (let length = 0; length <= 40; length++) {
    const options = pattern(length);
    const packets = [tcp4(pattern(2501), { options }), tcp6(pattern(2501), { options })];
    for (const packet of packets) compareWithTwin({ packet, size: 1000 });
  }
});

test('headers keep their distance and touch nothing beside them', () => {
  const packet = tcp4(pattern(5000), { options: pattern(12) });
  bytes.fill(0xee, STRIP, STRIP + 4096);
  compareWithTwin({ packet, size: 1000 });
  const { header, segments, stride } = segmenter.cuts;
  assert.equal(header, 52);
  assert.equal(stride, 64);
  for (let i = 0; i < segments; i++) {
    const gap = bytes.subarray(STRIP + i * stride + header, STRIP + (i + 1) * stride);
    assert.ok(gap.every((byte) => byte === 0xee));
  }
  assert.equal(bytes[STRIP + segments * stride], 0xee);
  assert.equal(hex(bytes.subarray(AT, AT + packet.length)), hex(packet), 'the packet is kept');
});

test('FIN and PSH are on the last segment alone, CWR on the first, ECE on all', () => {
  const packet = tcp4(pattern(3000), { flags: FIN | PSH | ACK | ECE | CWR });
  const flags = compareWithTwin({ packet, size: 1000 }).map((segment) => segment[33]);
  assert.deepEqual(flags, [ACK | ECE | CWR, ACK | ECE, FIN | PSH | ACK | ECE]);
});

test('a superpacket of one segment is sent as it is, with its checksum', () => {
  for (const packet of [
    tcp4(pattern(700)),
    udp4(pattern(700)),
    tcp6(pattern(7)),
    udp6(pattern(7)),
  ]) {
    const [only, ...more] = compareWithTwin({ packet, size: 1400 });
    assert.equal(hex(only), hex(packet));
    assert.equal(more.length, 0);
  }
});

test('a superpacket without payload is one packet', () => {
  const packet = tcp4(new Uint8Array(0), { flags: ACK | FIN });
  assert.equal(hex(compareWithTwin({ packet, size: 1400 })[0]), hex(packet));
});

test('the longest superpacket is cut whole, with a tail of one byte', () => {
  const packet = tcp4(pattern(65_535 - 40), { sequence: 0xffff_f000 });
  const segments = compareWithTwin({ packet, size: 1427 });
  assert.equal(segments.length, 46);
  const odd = tcp4(pattern(45 * 1427 + 1));
  assert.equal(compareWithTwin({ packet: odd, size: 1427 }).at(-1)?.length, 41);
});

test('more segments than an outbox holds are cut in several passes', () => {
  // An MSS of 48 with 40 bytes of options leaves 8 bytes of data a segment.
  const given = {
    packet: tcp4(pattern(20_001), { options: pattern(40), flags: FIN | ACK }),
    size: 8,
  };
  const expected = slowSegment(given.packet, given.size);
  assert.equal(inspect(given.packet, honestHeader(given)), 2501);
  const { header, stride, segments } = segmenter.cuts;
  for (let first = 0; first < segments; first += OUTBOX_DATAGRAMS) {
    const count = Math.min(segments - first, OUTBOX_DATAGRAMS);
    segmenter.cut(STRIP, first, count);
    for (let i = 0; i < count; i++) {
      const cutHeader = bytes.subarray(STRIP + i * stride).subarray(0, header);
      assert.equal(hex(cutHeader), hex(expected[first + i].subarray(0, header)), `${first + i}`);
    }
  }
});

test('a UDP checksum that comes out as zero is sent as all ones', () => {
  const payload = pattern(200);
  for (const build of [udp4, udp6]) {
    const packet = build(withZeroSum(payload, (changed) => build(changed)));
    const [segment] = compareWithTwin({ packet, size: 200 });
    const field = shapeOf(packet).ipHeader + 6;
    assert.deepEqual([...segment.subarray(field, field + 2)], [0xff, 0xff]);
  }
});

function assertFinished(packet: Uint8Array): void {
  const header = { ...honestHeader({ packet, size: 0 }), gsoType: 0 };
  assert.equal(inspect(unfinished(packet), header), PLAIN);
  assert.equal(hex(bytes.subarray(AT, AT + packet.length)), hex(packet));
}

test('the checksum of a plain packet is finished', () => {
  for (const length of [0, 1, 2, 3, 63, 64, 65, 1399, 1400, 9000, 65_000]) {
    for (const build of [tcp4, udp4, tcp6, udp6]) assertFinished(build(pattern(length)));
  }
});

test('a finished checksum of zero is all ones, as the kernel writes it', () => {
  const field = (at: number) => [...bytes.subarray(AT + at, AT + at + 2)];
  assertFinished(udp4(withZeroSum(pattern(99), (payload) => udp4(payload))));
  assert.deepEqual(field(26), [0xff, 0xff]);
  const packet = tcp4(withZeroSum(pattern(99), (payload) => tcp4(payload)));
  assert.deepEqual([...packet.subarray(36, 38)], [0, 0]);
  assertFinished(packet.with(36, 0xff).with(37, 0xff));
});

test('a plain packet that asks for nothing is left alone, whatever else its header says', () => {
  const packet = udp4(pattern(33));
  for (const flags of [0, 2]) {
    const header = { ...honestHeader({ packet, size: 9 }), flags, gsoType: 0, checksumStart: 9 };
    assert.equal(inspect(packet, header), PLAIN);
    assert.equal(hex(bytes.subarray(AT, AT + packet.length)), hex(packet));
  }
});

test('hdr_len is not believed', () => {
  const given = { packet: tcp4(pattern(4000), { options: pattern(12) }), size: 1400 };
  for (const headerLength of [0, 20, 40, 1452, 65_535]) {
    compareWithTwin(given, { ...honestHeader(given), headerLength });
  }
});

const TCP4 = { packet: tcp4(pattern(4000)), size: 1400 };
const UDP4 = { packet: udp4(pattern(4000)), size: 1400 };
const TCP6 = { packet: tcp6(pattern(4000)), size: 1400 };
const UDP6 = { packet: udp6(pattern(4000)), size: 1400 };

/** The packet with one byte replaced. */
function altered(given: Superpacket, at: number, byte: number): Superpacket {
  return { ...given, packet: given.packet.with(at, byte) };
}

type Lie = readonly [name: string, given: Superpacket, lie: Partial<VirtioWords>];

/** What virtio_net_hdr_from_skb writes of no packet whatever. */
const OF_THE_KERNEL: Lie[] = [
  ['a segment size of zero', TCP4, { gsoSize: 0 }],
  ['RSC information', TCP4, { flags: 5 }],
  ['an unknown kind', TCP4, { gsoType: 2 }],
  ['UDP fragmentation offload', UDP4, { gsoType: 3 }],
  ['the ECN bit without a kind', TCP4, { gsoType: 0x80 }],
  ['the ECN bit on UDP', UDP4, { gsoType: 0x85 }],
];

/** What it writes of a packet whose sender asked for it. */
const OF_A_SENDER: Lie[] = [
  ['no checksum to finish', TCP4, { flags: 0 }],
  ['a TCPv6 kind of an IPv4 packet', TCP4, { gsoType: 4 }],
  ['a TCPv4 kind of an IPv6 packet', TCP6, { gsoType: 1 }],
  ['a TCP kind of a UDP packet', UDP4, { gsoType: 1 }],
  ['a UDP kind of a TCP packet', TCP4, { gsoType: 5 }],
  ['a TCPv6 kind of a UDP packet', UDP6, { gsoType: 4 }],
  ['a checksum that starts at zero', TCP4, { checksumStart: 0 }],
  ['a checksum that starts elsewhere', TCP4, { checksumStart: 24 }],
  ['a checksum field elsewhere', TCP4, { checksumOffset: 6 }],
  ['a checksum field beyond the packet', UDP4, { checksumOffset: 65_000 }],
  ['more segments than TCP makes', { ...TCP4, packet: tcp4(pattern(8193)) }, { gsoSize: 1 }],
  ['a version that is neither 4 nor 6', altered(TCP4, 0, 0x55), {}],
  ['an IPv4 header under 20 bytes', altered(TCP4, 0, 0x44), { checksumStart: 16 }],
  ['a TCP header under 20 bytes', altered(TCP4, 32, 0x40), {}],
  ['a TCP header longer than the packet', { ...TCP4, packet: tcp4(pattern(9)).with(32, 0xf0) }, {}],
  ['a packet shorter than its headers', { ...TCP4, packet: TCP4.packet.slice(0, 30) }, {}],
  ['an IPv6 extension header', altered(TCP6, 6, 43), {}],
];

for (const [who, expected, lies] of [
  ['the kernel', BAD_OFFLOAD, OF_THE_KERNEL],
  ['a sender', MALFORMED_OFFLOAD, OF_A_SENDER],
] as const) {
  for (const [name, given, lie] of lies) {
    test(`refused, and laid to ${who}: ${name}`, () => {
      const whole = given.packet.length >= 40 ? given : TCP4;
      assert.equal(inspect(given.packet, { ...honestHeader(whole), ...lie }), expected);
    });
  }
}

test('refused: a plain checksum that starts within the IP header or ends beyond the packet', () => {
  const packet = udp4(pattern(10));
  const header = { ...honestHeader({ packet, size: 0 }), gsoType: 0 };
  for (const lie of [{ checksumStart: 0 }, { checksumStart: 19 }, { checksumOffset: 17 }]) {
    assert.equal(inspect(packet, { ...header, ...lie }), MALFORMED_OFFLOAD);
    assert.equal(hex(bytes.subarray(AT, AT + packet.length)), hex(packet));
  }
});

test('the ECN bit on TCP is allowed', () => {
  compareWithTwin(TCP4, { ...honestHeader(TCP4), gsoType: 0x81 });
});

/** An honest superpacket in which some bytes of header and packet lie; sometimes all do. */
function lying(
  random: Random,
  pool: readonly Superpacket[],
): { head: Uint8Array; body: Uint8Array } {
  const given = random.pick(pool);
  const head = virtioHeader(honestHeader(given));
  const isShort = random.oneIn(2);
  const body = given.packet.slice(0, isShort ? random.between(1, 140) : given.packet.length);
  if (random.oneIn(10)) random.fill(head);
  // Plain, so that what remains to lie about is where the checksum is.
  if (random.oneIn(4)) head[1] = 0;
  const value = () => (random.oneIn(2) ? random.below(256) : random.pick([0, 1, 4, 5, 6, 17, 255]));
  for (let lies = random.below(4); lies > 0; lies--) head[random.below(10)] = value();
  for (let lies = random.below(3); lies > 0; lies--) {
    body[random.below(Math.min(body.length, 64))] = value();
  }
  return { head, body };
}

function inspectAmong(body: Uint8Array, head: Uint8Array, surroundings: number): number {
  bytes.fill(surroundings, 0, AT - 10);
  bytes.fill(surroundings, AT + body.length, AT + body.length + MARGIN);
  bytes.set(head, AT - 10);
  bytes.set(body, AT);
  const result = segmenter.inspect(AT, body.length);
  const around = [bytes.subarray(0, AT - 10), bytes.subarray(AT + body.length).subarray(0, MARGIN)];
  for (const side of around) assert.ok(side.every((byte) => byte === surroundings));
  return result;
}

test('headers that lie never throw, and nothing outside the packet is read or written', () => {
  withSeed((random) => {
    const pool = [
      TCP4,
      UDP4,
      TCP6,
      UDP6,
      ...Array.from({ length: 12 }, (_, i) => generateSuperpacket(random, i)),
    ];
    const results = { bad: 0, plain: 0, cut: 0 };
    for (let round = 0; round < FUZZ; round++) {
      const { head, body } = lying(random, pool);
      const result = inspectAmong(body, head, 0x00);
      const left = hex(bytes.subarray(AT, AT + Math.min(body.length, 200)));
      assert.equal(inspectAmong(body, head, 0xff), result, 'what lies around must not matter');
      assert.equal(hex(bytes.subarray(AT, AT + Math.min(body.length, 200))), left);
      if (result < PLAIN) results.bad++;
      else if (result === PLAIN) results.plain++;
      else results.cut++;
      if (result <= 0 || !random.oneIn(10)) continue;
      const { header, payload, size } = segmenter.cuts;
      assert.equal(header + payload, body.length);
      assertSame(cut(), slowSegment(body, size), () => `${hex(head)} ${hex(body)}`);
    }
    for (const [kind, count] of Object.entries(results)) assert.ok(count > FUZZ / 100, kind);
  });
});
