/**
 * Any packets in any order: each leaves once, flows keep their order, and a train that is cut again
 * is what it was made of.
 *
 * A case is a list of packets, each after one byte of what to put right about it (bit 0: the
 * transport checksum) and two bytes of length. IPv4 headers are always put right, for the coalescer
 * is only given packets that passed decap.
 */
import assert from 'node:assert/strict';
import { TRAINS } from '../../src/offload/trains.ts';
import { createRig } from '../support/coalesce-rig.ts';
import { assertOrder, assertRebuilt } from '../support/coalesce-truths.ts';
import { createBatch, createFlow } from '../support/flows.ts';
import { fuzz } from '../support/fuzz.ts';
import type { Random } from '../support/random.ts';
import { slowChecksum } from '../support/slow-checksum.ts';
import { finishTransport, shapeOf } from '../support/slow-segment.ts';

const RECORD = 3;
const REPAIR = 1;
const HEADER = 20;
const rig = createRig();

/** The packets of a case; what is too short for an IPv4 header is none. */
function readPackets(given: Uint8Array): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (let at = 0; at + RECORD <= given.length && packets.length < TRAINS; ) {
    const length = (given[at + 1] << 8) | given[at + 2];
    const packet = given.slice(at + RECORD, at + RECORD + length);
    if (packet.length >= HEADER) packets.push(valid(packet, (given[at] & REPAIR) !== 0));
    at += RECORD + length;
  }
  return packets;
}

function valid(packet: Uint8Array, repair: boolean): Uint8Array {
  const words = packet[0] & 15;
  packet[0] = 0x40 | (words < 5 || words * 4 > packet.length ? 5 : words);
  packet.set([packet.length >> 8, packet.length & 0xff], 2);
  const { ipHeader, header } = shapeOf(packet);
  const known = packet[9] === 6 || packet[9] === 17;
  if (repair && known && header <= packet.length && header > ipHeader) repaired(packet, ipHeader);
  packet.set([0, 0], 10);
  const checksum = slowChecksum(packet, 0, ipHeader);
  packet.set([checksum >> 8, checksum & 0xff], 10);
  return packet;
}

/** UDP length and transport checksum; a checksum needs its field. */
function repaired(packet: Uint8Array, ipHeader: number): void {
  const body = packet.length - ipHeader;
  if (packet[9] === 17) packet.set([body >> 8, body & 0xff], ipHeader + 4);
  else if (body < 20) return;
  finishTransport(packet);
}

function check(given: Uint8Array): string {
  const packets = readPackets(given);
  const trains = rig.coalesce(packets);
  assertOrder(
    trains.flatMap(({ members }) => members),
    packets,
  );
  for (const train of trains) assertRebuilt(rig, train, packets);
  const bytes = (of: readonly Uint8Array[]) => of.reduce((sum, { length }) => sum + length, 0);
  const written = trains.flatMap((train) =>
    train.members.length === 1 ? [train.written] : rig.recut(train),
  );
  assert.equal(bytes(written), bytes(packets), 'bytes are conserved');
  return trains.length < packets.length ? 'joined' : 'apart';
}

function generate(random: Random): Uint8Array {
  const flows = Array.from({ length: random.between(1, 3) }, () => createFlow(random));
  for (const flow of flows) flow.size = random.pick([1, 8, 33, 100]);
  const packets = createBatch(flows, random, random.between(1, 10));
  return Uint8Array.from(
    packets.flatMap((packet) => [
      random.oneIn(4) ? 0 : REPAIR,
      packet.length >> 8,
      packet.length & 0xff,
      ...packet,
    ]),
  );
}

fuzz({ name: 'coalesce', generate, check, kinds: ['joined', 'apart'] });
