import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, type Train } from '../support/coalesce-rig.ts';
import { fragments4, type Ipv4Options, type TcpOptions, tcp4, udp4 } from '../support/packets.ts';
import { type Random, withSeed } from '../support/random.ts';

/** 10^5 packets, or with TEST_LONG=1 10^6 batches. */
const PACKETS = 100_000;
const LONG_BATCHES = 1_000_000;
const BATCH = 128;
const MOST_FLOWS = 64;

const rig = createRig();

interface Flow {
  tcp: boolean;
  size: number;
  checksummed: boolean;
  fields: TcpOptions & { sequence: number };
  ip: Ipv4Options & { identification: number };
}

function createFlow(random: Random): Flow {
  return {
    tcp: !random.oneIn(3),
    size: random.pick([1, 2, 33, 64, 200, 536, 1400]),
    checksummed: !random.oneIn(4),
    fields: {
      sourcePort: random.below(65_536),
      destinationPort: random.pick([53, 443, 5201]),
      sequence: random.oneIn(4) ? 2 ** 32 - random.below(2000) : random.uint32(),
      acknowledgement: random.uint32(),
      options: random.bytes(4 * random.below(4)),
    },
    ip: {
      source: `10.244.1.${random.below(3)}`,
      dontFragment: !random.oneIn(3),
      identification: random.oneIn(4) ? 0xffff - random.below(4) : random.below(65_536),
      typeOfService: random.pick([0, 0, 2]),
    },
  };
}

/** Sometimes something about a flow changes for good that its packets must not be joined over. */
function drift(flow: Flow, random: Random): void {
  const changes = [
    () => (flow.fields.acknowledgement = random.uint32()),
    () => (flow.fields.window = random.below(65_536)),
    () => (flow.fields.options = random.bytes(4 * random.below(4))),
    () => (flow.ip.typeOfService = random.pick([0, 1, 2, 3, 0xb8])),
    () => (flow.ip.timeToLive = random.between(60, 64)),
    () => (flow.ip.dontFragment = !flow.ip.dontFragment),
    () => (flow.ip.identification = random.below(65_536)),
    () => (flow.checksummed = !flow.checksummed),
  ];
  random.pick(changes)();
}

/** The flow's next packet: mostly whole and plain, else short, empty, pushed or marked. */
function nextPacket(flow: Flow, random: Random): Uint8Array {
  const { fields, ip, tcp } = flow;
  const length = random.oneIn(12) ? random.below(flow.size + 1) : flow.size;
  const payload = random.bytes(length);
  const odd = random.oneIn(15) ? random.pick([0x18, 0x11, 0x12, 0x14, 0x30, 0x50, 0x90]) : 0x10;
  const packet = tcp ? tcp4(payload, { ...fields, flags: odd }, ip) : udp4(payload, fields, ip);
  fields.sequence = (fields.sequence + length) % 2 ** 32;
  ip.identification = (ip.identification + 1) % 2 ** 16;
  return tcp || flow.checksummed ? packet : packet.with(26, 0).with(27, 0);
}

/** One bit after the IP header is turned: in ports, lengths, checksum or payload. */
function corrupted(packet: Uint8Array, random: Random): Uint8Array {
  const at = random.between(20, packet.length - 1);
  return packet.with(at, packet[at] ^ (1 << random.below(8)));
}

function createBatch(flows: readonly Flow[], random: Random, length: number): Uint8Array[] {
  const packets: Uint8Array[] = [];
  const stays = random.pick([1, 2, 8, 40]);
  const trouble = random.pick([8, 30, 1000]);
  let flow = random.pick(flows);
  while (packets.length < length) {
    if (random.oneIn(stays)) flow = random.pick(flows);
    if (random.oneIn(trouble)) drift(flow, random);
    const packet = nextPacket(flow, random);
    if (random.oneIn(trouble)) continue;
    packets.push(random.oneIn(trouble) ? corrupted(packet, random) : packet);
    if (random.oneIn(trouble)) packets.push(random.pick(packets));
    if (random.oneIn(2 * trouble)) packets.push(...fragments4(packet, 400, flow.ip));
  }
  return packets.slice(0, length);
}

/** What a receiver may ask of a packet's place, read from its bytes alone. */
interface Place {
  /** Neither TCP nor UDP that can be told: all trains end here. */
  stranger: boolean;
  /** A bare acknowledgement, which the data behind it may overtake. */
  pure: boolean;
  flow: string;
}

function placeOf(packet: Uint8Array): Place {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const tcp = packet[9] === 6;
  const header = tcp ? (packet.length >= 40 ? 20 + (packet[32] >> 4) * 4 : 0) : 28;
  const fragment = (view.getUint16(6) & 0x3fff) !== 0;
  const stranger = fragment || header < (tcp ? 40 : 28) || header > packet.length;
  const flag = stranger || !tcp ? 0 : packet[33];
  const pure = !stranger && tcp && packet.length === header && (flag & ~0x48) === 0x10;
  return { stranger, pure, flow: `${packet[9]} ${hex(packet.subarray(12, 24))}` };
}

function hex(packet: Uint8Array): string {
  return Buffer.from(packet).toString('hex');
}

function assertAscending(numbers: readonly number[], what: string): void {
  for (let i = 1; i < numbers.length; i++) assert.ok(numbers[i - 1] < numbers[i], what);
}

/** Every packet once; flows in order; nothing passes a stranger; data passes only bare ACKs. */
function assertOrder(order: readonly number[], packets: readonly Uint8Array[]): void {
  const sorted = order.toSorted((a, b) => a - b);
  assert.deepEqual(sorted, [...packets.keys()], 'every packet once');
  const places = packets.map(placeOf);
  const data = new Map<string, number[]>();
  const bare = new Map<string, number[]>();
  let highest = -1;
  for (const [position, number] of order.entries()) {
    const { stranger, pure, flow } = places[number];
    if (stranger) assert.equal(position, number, 'a stranger keeps its place');
    if (stranger) assert.equal(highest, number - 1, 'nothing passes a stranger');
    highest = Math.max(highest, number);
    const lists = pure ? bare : data;
    const list = lists.get(flow);
    if (list === undefined) lists.set(flow, [number]);
    else list.push(number);
    // Data before a bare acknowledgement stays before it: what the ACK waits for is not behind it.
    const behind = order.slice(position + 1);
    if (pure)
      assert.ok(!behind.some((n) => n < number && !places[n].pure && places[n].flow === flow));
  }
  for (const [flow, numbers] of data) assertAscending(numbers, `data of ${flow}`);
  for (const [flow, numbers] of bare) assertAscending(numbers, `acknowledgements of ${flow}`);
}

/** What may differ after a join: the identification under DF, and a UDP checksum of none. */
function comparable(cut: Uint8Array, given: Uint8Array): string {
  const masked = cut.slice();
  const dontFragment = (given[6] & 0x40) !== 0;
  for (const at of dontFragment ? [4, 5, 10, 11] : []) masked[at] = given[at];
  const none = given[9] === 17 && given[26] === 0 && given[27] === 0;
  for (const at of none ? [26, 27] : []) masked[at] = 0;
  return hex(masked);
}

function assertRebuilt(train: Train, packets: readonly Uint8Array[]): void {
  const { members, written } = train;
  if (members.length === 1) {
    assert.equal(hex(written), hex(packets[members[0]]), 'alone and untouched');
    return;
  }
  assert.ok(members.length <= 64 && written.length <= 65_535);
  const cut = rig.recut(train);
  assert.equal(cut.length, members.length);
  for (const [i, number] of members.entries()) {
    assert.equal(comparable(cut[i], packets[number]), hex(packets[number]), `packet ${number}`);
  }
}

test('interleaved flows come out as they went in, however they are joined', () => {
  withSeed((random) => {
    const isLong = process.env.TEST_LONG === '1';
    let packetsLeft = isLong ? Number.POSITIVE_INFINITY : PACKETS;
    let joined = 0;
    let given = 0;
    for (let batch = 0; packetsLeft > 0 && batch < LONG_BATCHES; batch++) {
      const flows = Array.from({ length: random.between(1, MOST_FLOWS) }, () => createFlow(random));
      const packets = createBatch(flows, random, random.between(1, BATCH));
      const trains = rig.coalesce(packets);
      assertOrder(
        trains.flatMap(({ members }) => members),
        packets,
      );
      for (const train of trains) assertRebuilt(train, packets);
      packetsLeft -= packets.length;
      given += packets.length;
      joined += packets.length - trains.length;
    }
    // Otherwise the test would say nothing.
    assert.ok(joined > given / 10, `${joined} of ${given} joined`);
  });
});
