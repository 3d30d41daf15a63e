import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Answer } from '../../src/dataplane/answer.ts';
import { BLOCK_SLOTS } from '../../src/dataplane/counters.ts';
import { createDecap } from '../../src/dataplane/in/decap.ts';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import { createCoalescer } from '../../src/offload/coalesce.ts';
import { NO_TRAIN } from '../../src/offload/trains.ts';
import { loadSum } from '../../src/wire/checksum.ts';
import { compile, findPeer } from '../support/ipv4-peers.ts';
import { pattern, tcp4, udp4 } from '../support/packets.ts';
import { slowChecksum } from '../support/slow-checksum.ts';
import { finishTransport } from '../support/slow-segment.ts';

const OWN = { network: 0x0af40200, length: 24 };
const OVERLAY = { network: 0x0af40000, length: 16 };
const PEER = { network: 0x0af40100, length: 24, peer: 0xc0000201 };
const MTU = 1472;
const SIZE = 20;
const STAMPS = Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7);
const SILENT: Answer = {
  unreachable() {},
  timeExceeded() {},
  mayTellMtu: () => false,
  fragNeeded() {},
};

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
const bytes = new Uint8Array(memory.buffer);
const coalescer = createCoalescer(bytes, loadSum(memory), { tcp: true, udp: true });
const { trains } = coalescer;
const table = new Int32Array(tableCapacity(OVERLAY, 2));
assert.equal(compile(table, [PEER], OWN, OVERLAY), 0);
const rules = { accept: 'strict', timeToLive: 'keep', mtu: MTU } as const;
const decap = createDecap(bytes, new Float64Array(BLOCK_SLOTS), SILENT, rules);

const withoutChecksum = (packet: Uint8Array) => packet.with(26, 0).with(27, 0);
const tcp = (index: number, dontFragment: boolean) =>
  tcp4(
    pattern(SIZE),
    { sequence: 1000 + index * SIZE, options: STAMPS },
    { dontFragment, identification: 7 + index },
  );
const udp = (index: number) =>
  udp4(pattern(SIZE), {}, { dontFragment: true, identification: 7 + index });

const FLOWS: readonly (readonly [string, (index: number) => Uint8Array])[] = [
  ['TCP', (index) => tcp(index, true)],
  ['TCP without DF', (index) => tcp(index, false)],
  ['UDP', udp],
  ['UDP without checksums', (index) => withoutChecksum(udp(index))],
];

/** Where packet `index` of three lies, each on a line of 64 bytes unless moved. */
function place(index: number, packet: Uint8Array, by = 0): number {
  const at = 64 + index * 2048 + by;
  bytes.set(packet, at);
  return at;
}

/** Two packets of the flow, joined, so that a train grows. */
function begin(flow: (index: number) => Uint8Array): void {
  coalescer.clear();
  for (const index of [0, 1]) coalescer.add(place(index, flow(index)), flow(index).length);
  assert.equal(trains.growing, 0);
}

/** The packet with one bit turned, and with the checksums over it put right if asked to. */
function turned(packet: Uint8Array, bit: number, repair: boolean): Uint8Array {
  const changed = packet.with(bit >> 3, packet[bit >> 3]! ^ (1 << (bit & 7)));
  if (!repair) return changed;
  const header = (changed[0]! & 15) * 4;
  if (header < 20 || header > changed.length) return changed;
  changed.set([0, 0], 10);
  const checksum = slowChecksum(changed, 0, header);
  changed.set([checksum >> 8, checksum & 0xff], 10);
  const none = packet[9] === 17 && packet[26] === 0 && packet[27] === 0;
  const known = changed[9] === packet[9] && header === 20;
  if (known && !none) finishTransport(changed);
  return changed;
}

for (const [name, flow] of FLOWS) {
  test(`${name}: the short way takes the flow's next packet`, () => {
    begin(flow);
    assert.ok(coalescer.extend(place(2, flow(2)), flow(2).length));
    assert.deepEqual([trains.count, trains.packets[0]], [1, 3]);
  });

  test(`${name}: with any bit turned it takes what the long way lets in and joins`, () => {
    const third = flow(2);
    for (const repair of [false, true]) {
      for (let bit = 0; bit < third.length * 8; bit++) {
        const packet = turned(third, bit, repair);
        const label = `bit ${bit}${repair ? ', repaired' : ''}`;
        begin(flow);
        const at = place(2, packet);
        const joins =
          decap.admit(table, findPeer(table, PEER.peer), at, packet.length) && joinsByAdd(at);
        begin(flow);
        assert.equal(coalescer.extend(place(2, packet), packet.length), joins, label);
        assert.equal(trains.packets[0], joins ? 3 : 2, label);
        assert.deepEqual(bytes.slice(at, at + packet.length), packet, 'and changes no byte');
      }
    }
  });
}

function joinsByAdd(at: number): boolean {
  const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
  coalescer.add(at, length);
  return trains.packets[0] === 3;
}

test('a packet off the 4-byte lines takes the long way', () => {
  for (const by of [1, 2, 3]) {
    begin(FLOWS[0]![1]);
    const packet = FLOWS[0]![1](2);
    assert.equal(coalescer.extend(place(2, packet, by), packet.length), false);
  }
});

test('nothing grows in a new batch, nor behind a packet that began a train', () => {
  const flow = FLOWS[0]![1];
  begin(flow);
  coalescer.clear();
  assert.equal(trains.growing, NO_TRAIN);
  assert.equal(coalescer.extend(place(2, flow(2)), flow(2).length), false);
  begin(flow);
  const stranger = FLOWS[2]![1](0);
  coalescer.add(place(3, stranger), stranger.length);
  assert.equal(coalescer.extend(place(2, flow(2)), flow(2).length), false);
});
