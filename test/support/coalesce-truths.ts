/** What holds of trains, whatever packets they were made of: asked of the packets' bytes alone. */
import assert from 'node:assert/strict';
import type { Rig, Train } from './coalesce-rig.ts';

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
  const known = packet[0] === 0x45 && (tcp || packet[9] === 17);
  const header = tcp ? (packet.length >= 40 ? 20 + (packet[32] >> 4) * 4 : 0) : 28;
  const fragment = (view.getUint16(6) & 0x3fff) !== 0;
  const stranger = !known || fragment || header < (tcp ? 40 : 28) || header > packet.length;
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
export function assertOrder(order: readonly number[], packets: readonly Uint8Array[]): void {
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

export function assertRebuilt(rig: Rig, train: Train, packets: readonly Uint8Array[]): void {
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
