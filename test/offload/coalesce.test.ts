import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TRAIN_PACKETS } from '../../src/offload/trains.ts';
import { createRig } from '../support/coalesce-rig.ts';
import {
  fragments4,
  type Ipv4Options,
  icmp4,
  pattern,
  type TcpOptions,
  tcp4,
  udp4,
} from '../support/packets.ts';
import { withSeed } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';

const rig = createRig();

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const PSH = 0x08;
const ACK = 0x10;
const URG = 0x20;
const ECE = 0x40;
const CWR = 0x80;

const STAMPS = Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7);
const SIZE = 100;

/** The `index`th segment of a flow, `SIZE` bytes long unless told otherwise. */
function segment(index: number, tcp: TcpOptions = {}, ip: Ipv4Options = {}, size = SIZE) {
  const fields = { sequence: (1000 + index * SIZE) % 2 ** 32, options: STAMPS, ...tcp };
  return tcp4(pattern(size), fields, { dontFragment: true, identification: 7 + index, ...ip });
}

function datagram(index: number, ip: Ipv4Options = {}, size = SIZE, sourcePort = 40_002) {
  const fields = { dontFragment: true, identification: 7 + index, ...ip };
  return udp4(pattern(size), { sourcePort }, fields);
}

/** The packet with a UDP checksum of zero: none (RFC 768). */
function withoutChecksum(packet: Uint8Array): Uint8Array {
  return packet.with(26, 0).with(27, 0);
}

function membersOf(packets: readonly Uint8Array[]): number[][] {
  return rig.coalesce(packets).map(({ members }) => members);
}

/** Asserts which packets share a train, and that each train becomes again what it was made of. */
function assertTrains(packets: readonly Uint8Array[], expected: number[][]): void {
  const trains = rig.coalesce(packets);
  assert.deepEqual(
    trains.map(({ members }) => members),
    expected,
  );
  for (const train of trains) {
    const alone = train.members.length === 1;
    const cut = alone ? [train.written] : rig.recut(train);
    const given = train.members.map((number) => packets[number]);
    assert.deepEqual(cut.map(hex), given.map(hex));
  }
}

function hex(packet: Uint8Array): string {
  return Buffer.from(packet).toString('hex');
}

function apart(count: number): number[][] {
  return Array.from({ length: count }, (_, number) => [number]);
}

function upTo(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

test('neighbouring segments of a flow join, and so do its datagrams', () => {
  assertTrains([segment(0), segment(1), segment(2)], [[0, 1, 2]]);
  assertTrains([datagram(0), datagram(1), datagram(2)], [[0, 1, 2]]);
});

test('a train of one is not touched', () => {
  const packets = [segment(0), datagram(0), icmp4(8, 0, pattern(9)), segment(0, { flags: SYN })];
  assertTrains(packets, apart(4));
});

test('flows are joined side by side, in the order of their first packets', () => {
  const other = { sourcePort: 40_001 };
  const packets = [segment(0), segment(0, other), segment(1), segment(1, other), datagram(0)];
  assertTrains(
    [...packets, segment(2), datagram(1)],
    [
      [0, 2, 5],
      [1, 3],
      [4, 6],
    ],
  );
});

test('a flow is told by addresses, ports and protocol', () => {
  const flows = [
    segment(1, { sourcePort: 1 }),
    segment(1, { destinationPort: 1 }),
    segment(1, {}, { source: '10.244.1.3' }),
    segment(1, {}, { destination: '10.244.2.4' }),
    datagram(1, {}, SIZE, 40_000),
  ];
  for (const other of flows) assertTrains([segment(0), other], apart(2));
});

test('sequence numbers that wrap join', () => {
  const sequence = 2 ** 32 - SIZE - 50;
  const packets = [0, 1, 2].map((i) => segment(i, { sequence: (sequence + i * SIZE) % 2 ** 32 }));
  assertTrains(packets, [[0, 1, 2]]);
});

test('ECE on every segment joins', () => {
  const flags = ACK | ECE;
  assertTrains([segment(0, { flags }), segment(1, { flags })], [[0, 1]]);
});

test('PSH ends the train it joins, and stays on the last segment', () => {
  const packets = [segment(0), segment(1, { flags: ACK | PSH }), segment(2), segment(3)];
  assertTrains(packets, [
    [0, 1],
    [2, 3],
  ]);
});

test('after a PSH nothing joins', () => {
  assertTrains([segment(0, { flags: ACK | PSH }), segment(1)], apart(2));
});

test('a shorter segment ends the train it joins', () => {
  const shorter = segment(1, {}, {}, SIZE - 1);
  const rest = [2, 3].map((i) => segment(i, { sequence: 1000 + i * SIZE - 1 }));
  assertTrains(
    [segment(0), shorter, ...rest],
    [
      [0, 1],
      [2, 3],
    ],
  );
  assertTrains(
    [datagram(0), datagram(1, {}, 1), datagram(2), datagram(3)],
    [
      [0, 1],
      [2, 3],
    ],
  );
});

test('a longer segment begins a train', () => {
  assertTrains([segment(0, {}, {}, SIZE), segment(1, {}, {}, SIZE + 1)], apart(2));
  assertTrains([datagram(0), datagram(1, {}, SIZE + 1)], apart(2));
});

test('a gap, a repeat or a step back in sequence does not join', () => {
  assertTrains([segment(0), segment(2)], apart(2));
  assertTrains([segment(0), segment(0)], apart(2));
  assertTrains([segment(1), segment(0)], apart(2));
});

test('a pure acknowledgement leaves the train of its flow open', () => {
  const pure = segment(1, {}, {}, 0);
  const packets = [segment(0), pure, segment(1)];
  assertTrains(packets, [[0, 2], [1]]);
  assertTrains([pure, pure, pure], apart(3));
});

/** Second segments and datagrams that differ from the first in what a join would lose. */
const NOT_JOINED_IP: [name: string, fields: Ipv4Options][] = [
  ['type of service', { typeOfService: 4 }],
  ['ECN: ECT(1)', { typeOfService: 1 }],
  ['ECN: ECT(0)', { typeOfService: 2 }],
  ['ECN: CE', { typeOfService: 3 }],
  ['time to live', { timeToLive: 63 }],
  ['DF', { dontFragment: false }],
];

for (const [name, fields] of NOT_JOINED_IP) {
  test(`not joined: ${name} differs`, () => {
    assertTrains([segment(0), segment(1, {}, fields)], apart(2));
    assertTrains([datagram(0), datagram(1, fields)], apart(2));
  });
}

const NOT_JOINED_TCP: [name: string, fields: TcpOptions][] = [
  ['option bytes', { options: STAMPS.with(7, 10) }],
  ['length of options', { options: STAMPS.slice(0, 8) }],
  ['no options', { options: new Uint8Array(0) }],
  ['acknowledgement number', { acknowledgement: 2001 }],
  ['window', { window: 513 }],
  ['urgent pointer', { urgentPointer: 1 }],
  ['ECE', { flags: ACK | ECE }],
];

for (const [name, fields] of NOT_JOINED_TCP) {
  test(`not joined: ${name} differs`, () => {
    assertTrains([segment(0), segment(1, fields)], apart(2));
    assertTrains([segment(0), segment(1), segment(2, fields)], [[0, 1], [2]]);
  });
}

test('not joined: the AE bit beside the flags differs', () => {
  const packet = segment(1);
  // AE is the lowest bit of the data offset's byte, and the checksum must still be right.
  const marked = packet.with(32, packet[32] | 1).with(36, packet[36] - 1);
  assertTrains([segment(0), marked], apart(2));
});

for (const [name, flag] of Object.entries({ FIN, SYN, RST, URG, CWR })) {
  test(`not joined: ${name}, and it seals its flow`, () => {
    const flags = ACK | flag;
    assertTrains([segment(0), segment(1, { flags }), segment(2)], apart(3));
    // Without payload as well, and even where the sequence goes on behind it.
    assertTrains([segment(0), segment(1, { flags }, {}, 0), segment(1)], apart(3));
    assertTrains([segment(0, { flags }), segment(1)], apart(2));
  });
}

test('not joined: data without ACK', () => {
  assertTrains([segment(0, { flags: 0 }), segment(1, { flags: 0 })], apart(2));
});

test('not joined: a gap in identification where DF is clear', () => {
  const clear = (identification: number) => ({ dontFragment: false, identification });
  assertTrains([segment(0, {}, clear(7)), segment(1, {}, clear(8))], [[0, 1]]);
  assertTrains([segment(0, {}, clear(0xffff)), segment(1, {}, clear(0))], [[0, 1]]);
  for (const id of [7, 9, 6]) {
    assertTrains([segment(0, {}, clear(7)), segment(1, {}, clear(id))], apart(2));
    assertTrains([datagram(0, clear(7)), datagram(1, clear(id))], apart(2));
  }
  const third = [segment(0, {}, clear(7)), segment(1, {}, clear(8)), segment(2, {}, clear(10))];
  assertTrains(third, [[0, 1], [2]]);
});

test('where DF is set the identification does not matter', () => {
  assert.deepEqual(membersOf([segment(0), segment(1, {}, { identification: 0 })]), [[0, 1]]);
  assert.deepEqual(membersOf([datagram(0), datagram(1, { identification: 0 })]), [[0, 1]]);
});

const STRANGERS: [name: string, packets: Uint8Array[]][] = [
  ['fragments', fragments4(datagram(5, {}, 200), 104)],
  ['a last fragment', fragments4(datagram(5, {}, 200), 104).slice(1)],
  ['IP options', [segment(5, {}, { options: Uint8Array.of(1, 1, 1, 1) })]],
  ['ICMP', [icmp4(8, 0, pattern(50))]],
  ['a TCP header cut short', [icmp4(8, 0, pattern(4)).with(9, 6)]],
  ['a TCP data offset under five', [segment(5).with(32, 0x40)]],
  ['a TCP data offset beyond the packet', [segment(5, {}, {}, 0).with(32, 0xf0)]],
  ['a UDP header cut short', [icmp4(8, 0).with(9, 17).slice(0, 27)]],
];

for (const [name, strangers] of STRANGERS) {
  test(`sealed by ${name}: every train of the batch`, () => {
    const packets = [segment(0), datagram(0), ...strangers, segment(1), datagram(1)];
    assert.deepEqual(membersOf(packets), apart(packets.length));
    for (const { members, written } of rig.coalesce(packets)) {
      assert.equal(hex(written), hex(packets[members[0]]));
    }
  });
}

test('fragments do not join each other', () => {
  const pieces = fragments4(segment(0, {}, {}, 400), 104, { identification: 7 });
  assertTrains(pieces, apart(pieces.length));
});

test('a wrong checksum is never joined, and passes unchanged', () => {
  for (const build of [segment, datagram] as const) {
    const last = build(0).length - 1;
    const wrong = (i: number) => build(i).with(last, 255);
    assertTrains([build(0), wrong(1), build(2)], apart(3));
    assertTrains([wrong(0), build(1), build(2)], [[0], [1, 2]]);
    assertTrains([build(0), build(1), wrong(2)], [[0, 1], [2]]);
    assertTrains([wrong(0), wrong(1)], apart(2));
  }
});

test('a UDP length that is not the packet’s is never joined, and passes unchanged', () => {
  const wrong = (i: number) =>
    datagram(i)
      .with(25, 8 + SIZE - 1)
      .with(27, datagram(i)[27] + 2);
  assertTrains([wrong(0), wrong(1)], apart(2));
  assertTrains([datagram(0), wrong(1), datagram(2)], apart(3));
});

test('an empty datagram is never joined, and seals its flow', () => {
  assertTrains([datagram(0), datagram(1, {}, 0), datagram(2)], apart(3));
});

test('a datagram without checksum joins only its like', () => {
  const bare = (i: number) => withoutChecksum(datagram(i));
  assert.deepEqual(membersOf([bare(0), bare(1), bare(2)]), [[0, 1, 2]]);
  assertTrains([bare(0), datagram(1), bare(2)], apart(3));
  assertTrains([datagram(0), bare(1), datagram(2)], apart(3));
});

test('datagrams joined without checksum keep their bytes and are given one', () => {
  const packets = [0, 1, 2].map((i) => withoutChecksum(datagram(i)));
  const [train] = rig.coalesce(packets);
  assert.deepEqual(
    rig.recut(train).map(hex),
    [0, 1, 2].map((i) => hex(datagram(i))),
  );
});

test('a train has at most 64 packets', () => {
  assert.equal(TRAIN_PACKETS, 64);
  const expected = [upTo(64), upTo(2, 64)];
  assertTrains(
    Array.from({ length: 66 }, (_, i) => segment(i)),
    expected,
  );
  assertTrains(
    Array.from({ length: 66 }, (_, i) => datagram(i)),
    expected,
  );
});

test('a train is at most 65,535 bytes long', () => {
  // 52 bytes of header; eleven of 5953 are 65,483, which makes 65,535 exactly.
  const ofSize = (size: number, i: number) => segment(i, { sequence: 1000 + i * size }, {}, size);
  assertTrains(
    Array.from({ length: 12 }, (_, i) => ofSize(5953, i)),
    [upTo(11), [11]],
  );
  const shorter = upTo(10).map((i) => ofSize(5954, i));
  const tail = (size: number) =>
    segment(0, { sequence: 1000 + 10 * 5954 }, { identification: 17 }, size);
  assertTrains([...shorter, tail(65_483 - 59_540)], [upTo(11)]);
  assertTrains([...shorter, tail(65_484 - 59_540)], [upTo(10), [10]]);
  const datagrams = upTo(12).map((i) => datagram(i, {}, 5955));
  assertTrains(datagrams, [upTo(11).slice(0, 10).concat(10), [11]]);
});

test('what is not wished for is passed on', () => {
  const tcpOnly = createRig({ tcp: true, udp: false });
  const udpOnly = createRig({ tcp: false, udp: true });
  const packets = [segment(0), segment(1), datagram(0), datagram(1)];
  const lengths = (of: typeof rig) => of.coalesce(packets).map(({ members }) => members.length);
  assert.deepEqual(lengths(tcpOnly), [2, 1, 1]);
  assert.deepEqual(lengths(udpOnly), [1, 1, 2]);
});

test('a batch forgets the trains of the batch before', () => {
  assertTrains([segment(0)], [[0]]);
  assertTrains([segment(1)], [[0]]);
});

test('100,000 flipped bits of payload are never joined', () => {
  const flows = [segment, datagram].map((build) => [0, 1, 2].map((i) => build(i)));
  withSeed((random) => {
    for (let round = 0; round < rounds(100_000); round++) {
      const packets = random.pick(flows).map((packet) => packet.slice());
      const victim = random.below(3);
      const at = packets[victim].length - 1 - random.below(SIZE);
      packets[victim][at] ^= 1 << random.below(8);
      const trains = rig.coalesce(packets);
      const alone = trains.find(({ members }) => members.includes(victim));
      assert.deepEqual(alone?.members, [victim], `bit of byte ${at} in packet ${victim}`);
      assert.equal(hex(alone.written), hex(packets[victim]));
    }
  });
});
