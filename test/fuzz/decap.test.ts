/**
 * Any datagram from anyone: let in or counted under one reason, by the rules a slow twin spells
 * out; nothing is thrown, and nothing but the TTL is changed.
 *
 * A case is one byte that picks the outer sender, and then the datagram.
 */
import assert from 'node:assert/strict';
import type { Answer } from '../../src/dataplane/answer.ts';
import { BLOCK_SLOTS } from '../../src/dataplane/counters.ts';
import { createDecap, type Decap } from '../../src/dataplane/in/decap.ts';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import { fuzz } from '../support/fuzz.ts';
import { compile, findPeer } from '../support/ipv4-peers.ts';
import { ipv4, tcp4, udp4 } from '../support/packets.ts';
import type { Random } from '../support/random.ts';
import { slowSum } from '../support/slow-checksum.ts';

const OWN = { network: 0x0af40100, length: 24 };
const OVERLAY = { network: 0x0af40000, length: 16 };
const PEERS = [
  { network: 0x0af40200, length: 24, peer: 0xc0000202 },
  { network: 0x0af40300, length: 24, peer: 0xc0000203 },
];
/** Host order, signed, as the receiver tells them. */
const SENDERS = [...PEERS.map(({ peer }) => peer), 0xc0000209].map((address) => address | 0);
const MTU = 1472;
/** Odd, for datagrams that the kernel joined lie at any alignment. */
const AT = 65;
const MARGIN = 64;

const table = new Int32Array(tableCapacity(OVERLAY, PEERS.length + 1));
assert.equal(compile(table, PEERS, OWN, OVERLAY), 0);
const bytes = new Uint8Array(AT + 65_536 + MARGIN);
const silent: Answer = {
  unreachable() {},
  timeExceeded() {},
  mayTellMtu: () => false,
  fragNeeded() {},
};

interface Gate {
  readonly decap: Decap;
  readonly counters: Float64Array;
  readonly lowers: boolean;
}

function createGate(lowers: boolean): Gate {
  const counters = new Float64Array(BLOCK_SLOTS);
  const timeToLive = lowers ? 'flannel' : 'keep';
  const rules = { accept: 'strict', timeToLive, mtu: MTU } as const;
  return { decap: createDecap(bytes, counters, silent, rules), counters, lowers };
}

const GATES = [createGate(false), createGate(true)];

/** --accept strict in words: docs and RFC 791 §3.1; no trick shared with the fast one. */
function mayEnter(packet: Uint8Array, sender: number, lowers: boolean): boolean {
  if (packet.length < 20 || packet.length > MTU) return false;
  const header = (packet[0] & 15) * 4;
  if (packet[0] >> 4 !== 4 || header < 20 || header > packet.length) return false;
  const view = new DataView(packet.buffer, packet.byteOffset);
  if (view.getUint16(2) !== packet.length || slowSum(packet, 0, header) !== 0xffff) return false;
  const subnet = (at: number) => view.getUint32(at) - packet[at + 3];
  const owner = PEERS.find(({ network }) => network === subnet(12));
  if (owner === undefined || (owner.peer | 0) !== sender) return false;
  return subnet(16) === OWN.network && (!lowers || packet[8] > 1);
}

function admit(gate: Gate, packet: Uint8Array, sender: number): boolean {
  bytes.fill(0xa5, 0, AT);
  bytes.set(packet, AT);
  bytes.fill(0xa5, AT + packet.length, AT + packet.length + MARGIN);
  gate.counters.fill(0);
  const admitted = gate.decap.admit(table, findPeer(table, sender), AT, packet.length);
  const counted = gate.counters.reduce((sum, count) => sum + count, 0);
  assert.equal(counted, admitted ? 0 : 1, 'let in, or counted once');
  const end = AT + packet.length;
  const around = [bytes.subarray(0, AT), bytes.subarray(end, end + MARGIN)];
  for (const side of around)
    assert.ok(
      side.every((byte) => byte === 0xa5),
      'beside it',
    );
  return admitted;
}

function check(given: Uint8Array): string {
  const sender = SENDERS[(given[0] ?? 0) % SENDERS.length];
  const packet = given.slice(1, 65_508);
  let entered = 0;
  for (const gate of GATES) {
    const admitted = admit(gate, packet, sender);
    assert.equal(admitted, mayEnter(packet, sender, gate.lowers), `ttl ${gate.lowers}`);
    const left = bytes.slice(AT, AT + packet.length);
    if (admitted) entered++;
    if (admitted && gate.lowers) {
      assert.equal(left[8], packet[8] - 1);
      assert.equal(slowSum(left, 0, (left[0] & 15) * 4), 0xffff);
      for (const at of [8, 10, 11]) left[at] = packet[at];
    }
    assert.deepEqual(left, packet);
  }
  return ['refused', 'refused by its TTL', 'let in'][entered];
}

function generate(random: Random): Uint8Array {
  const fields = {
    source: `10.244.${random.pick([2, 2, 3, 4])}.${random.below(256)}`,
    destination: `10.244.${random.pick([1, 1, 1, 2])}.${random.below(256)}`,
    timeToLive: random.pick([0, 1, 2, 64, 255]),
    options: new Uint8Array(random.oneIn(4) ? 4 * random.below(11) : 0),
  };
  const payload = random.bytes(random.oneIn(10) ? random.between(1300, 1500) : random.below(60));
  const packet = random.pick([
    () => udp4(payload, {}, fields),
    () => tcp4(payload, {}, fields),
    () => ipv4(payload, { ...fields, protocol: random.below(256) }),
  ])();
  return Uint8Array.of(random.pick([0, 0, 1, 2]), ...packet);
}

fuzz({ name: 'decap', generate, check, kinds: ['refused', 'refused by its TTL', 'let in'] });
