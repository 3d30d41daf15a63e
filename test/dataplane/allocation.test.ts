import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Answer } from '../../src/dataplane/answer.ts';
import { BLOCK_SLOTS } from '../../src/dataplane/counters.ts';
import { createDecap } from '../../src/dataplane/in/decap.ts';
import { createEncap, REFUSED } from '../../src/dataplane/out/encap.ts';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import { findPeer, peerAt } from '../../src/forwarding/table.ts';
import { createCoalescer } from '../../src/offload/coalesce.ts';
import { createSegmenter, PLAIN } from '../../src/offload/segment.ts';
import { createSlab } from '../../src/sys/memory.ts';
import { createOutbox, createRuns, planRuns } from '../../src/udp/runs.ts';
import { loadSum } from '../../src/wire/checksum.ts';
import { measureHeap } from '../support/heap.ts';
import { compile, nameOf, type Row, textOf } from '../support/ipv4-peers.ts';
import { pattern, tcp4, udp4 } from '../support/packets.ts';
import { shapeOf, virtioHeader } from '../support/slow-segment.ts';

const PACKETS = 10_000_000;
const WARM_UP_PACKETS = 1_000_000;
/**
 * The heap is read this often. What a stretch leaves behind stays visible until V8 collects it,
 * and at 16 bytes a packet a stretch would leave 1.6 MB, well below the 16 MB of a young
 * generation: at most one reading in ten could fall behind a collection.
 */
const STRETCH = 100_000;
/**
 * What all stretches together may leave behind. V8's smallest object is 12 bytes, so one object in
 * every ten packets would be 12 MB. A reading itself takes about 200 bytes, and the compiler may
 * still leave some code and feedback behind: a megabyte is a tenth of a byte a packet.
 */
const BOUND_BYTES = 1_000_000;
/** What may stay after a collection; a packet in a thousand that leaked 16 bytes is 160 kB. */
const KEPT_BYTES = 150_000;

const HERE = { network: 0x0af40100, length: 24 };
const THERE = { network: 0x0af40200, length: 24 };
const EVERYWHERE = { network: 0x0af40000, length: 16 };
const HERE_ADDRESS = 0x0a000001;
const THERE_ADDRESS = 0x0a000002;

/** From 10.244.1.2 to 10.244.2.3: two superpackets, and a plain packet with an unfinished sum. */
const TEMPLATES: readonly [packet: Uint8Array, gsoType: number, size: number][] = [
  [tcp4(pattern(32 * 100), { options: pattern(12) }, { dontFragment: true }), 1, 100],
  [udp4(pattern(16 * 64 + 7)), 5, 64],
  [udp4(pattern(64), { sourcePort: 1 }), 0, 0],
];

/** Every kind of answer may be asked for; none is here. */
const SILENT: Answer = {
  unreachable() {},
  timeExceeded() {},
  mayTellMtu: () => false,
  fragNeeded() {},
};

function tableOf(rows: readonly Row[], own: { network: number; length: number }): Int32Array {
  const table = new Int32Array(tableCapacity(EVERYWHERE, rows.length + 1));
  assert.equal(compile(table, rows, own, EVERYWHERE), 0);
  return table;
}

interface Loop {
  /** Carries each template once, out of one node and into the other; returns packets carried. */
  round(): number;
  /** Packets that shared a superpacket at the end of the last round. */
  joined(): number;
  /** Sends that the last round's datagrams were planned as. */
  planned(): number;
  counters: Float64Array;
}

/** The two directions of the packet loop back to back, without the kernel between them. */
function createLoop(): Loop {
  const slab = createSlab(1024 * 1024);
  const { bytes, memory } = slab;
  const counters = new Float64Array(BLOCK_SLOTS);
  const sum = loadSum(memory);
  const encap = createEncap(bytes, counters, SILENT, {
    timeToLive: 'flannel',
    bindAddress: textOf(HERE_ADDRESS),
    port: 8285,
  });
  const rules = { accept: 'strict', timeToLive: 'flannel', mtu: 1472 } as const;
  const decap = createDecap(bytes, counters, SILENT, rules);
  const segmenter = createSegmenter(bytes, sum);
  const coalescer = createCoalescer(bytes, sum, { tcp: true, udp: true });
  const here = tableOf([{ ...THERE, peer: THERE_ADDRESS }], HERE);
  const there = tableOf([{ ...HERE, peer: HERE_ADDRESS }], THERE);
  const sender = nameOf(HERE_ADDRESS).slice();
  const to = peerAt(here, 0);
  const { cuts } = segmenter;
  const { trains } = coalescer;
  const outbox = createOutbox();
  const runs = createRuns();
  const limits = { datagrams: 127 };
  const pristine = new Int32Array(TEMPLATES.length);
  const fresh = new Int32Array(TEMPLATES.length);
  const lengths = Int32Array.from(TEMPLATES, ([packet]) => packet.length);
  let next = 64;
  for (const [i, [packet, gsoType, gsoSize]] of TEMPLATES.entries()) {
    const { header, tcp } = shapeOf(packet);
    const sums = { checksumStart: 20, checksumOffset: tcp ? 16 : 6 };
    pristine[i] = next;
    fresh[i] = next + 8192 + 16;
    bytes.set(packet, next);
    bytes.set(
      virtioHeader({ flags: 1, gsoType, headerLength: header, gsoSize, ...sums }),
      fresh[i] - 10,
    );
    next += 2 * 8192;
  }
  const strip = next;
  const received = next + 64 * 1024;
  let arriving = received;
  let shared = 0;

  function carry(i: number): number {
    const at = fresh[i];
    const length = lengths[i];
    bytes.copyWithin(at, pristine[i], pristine[i] + length);
    if (encap.route(here, at, length, 1) === REFUSED) return 0;
    const segments = segmenter.inspect(at, length);
    if (segments === PLAIN) return arrive(at, length, at, 0);
    if (segments < 0) return 0;
    segmenter.cut(strip);
    let carried = 0;
    for (let k = 0; k < segments; k++) {
      const from = k * cuts.size;
      const slice = Math.min(cuts.payload - from, cuts.size);
      carried += arrive(strip + k * cuts.stride, cuts.header, at + cuts.header + from, slice);
    }
    return carried;
  }

  function send(size: number): void {
    outbox.size[outbox.count] = size;
    outbox.peer[outbox.count] = to;
    outbox.count++;
  }

  /** What a datagram holds lies in one piece, and so it is put together as the kernel would. */
  function arrive(header: number, headerLength: number, payload: number, length: number): number {
    const at = arriving;
    bytes.copyWithin(at, header, header + headerLength);
    bytes.copyWithin(at + headerLength, payload, payload + length);
    arriving += headerLength + length;
    send(headerLength + length);
    const from = findPeer(there, sender, 0);
    if (!decap.admit(there, from, at, headerLength + length)) return 0;
    coalescer.add(at, headerLength + length);
    return 1;
  }

  function round(): number {
    arriving = received;
    let carried = 0;
    outbox.count = 0;
    for (let i = 0; i < lengths.length; i++) carried += carry(i);
    planRuns(outbox, 0, limits, runs);
    shared = 0;
    for (let train = 0; train < trains.count; train++) {
      if (trains.packets[train] === 1) continue;
      coalescer.finish(train);
      shared += trains.packets[train];
    }
    coalescer.clear();
    return carried;
  }

  return { round, joined: () => shared, planned: () => runs.count, counters };
}

function carryAtLeast(loop: Loop, packets: number): void {
  let carried = 0;
  while (carried < packets) carried += loop.round();
}

test('ten million packets allocate nothing', () => {
  const loop = createLoop();
  // 32 and 17 segments, and the plain packet; all but that one join again.
  assert.equal(loop.round(), 32 + 17 + 1);
  assert.equal(loop.joined(), 32 + 17);
  // A run for each superpacket; the plain packet is longer than what the second ends with.
  assert.equal(loop.planned(), 3);
  carryAtLeast(loop, WARM_UP_PACKETS);
  const { left, kept } = measureHeap(PACKETS / STRETCH, () => carryAtLeast(loop, STRETCH));
  assert.ok(left <= BOUND_BYTES, `${left} bytes were allocated over ${PACKETS} packets`);
  assert.ok(kept <= KEPT_BYTES, `${kept} bytes stayed after ${PACKETS} packets`);
  assert.ok(
    loop.counters.every((count) => count === 0),
    'no packet was refused',
  );
});
