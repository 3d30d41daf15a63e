/** The way out allocates nothing: grouped, waited for and fragmented, over a faked kernel. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import koffi from 'koffi';
import * as counters from '../../src/dataplane/counters.ts';
import { createEgress } from '../../src/dataplane/out/egress.ts';
import { libc } from '../../src/sys/binding.ts';
import { IP_PMTUDISC_DONT } from '../../src/sys/constants.ts';
import { EAGAIN, EMSGSIZE } from '../../src/sys/errno.ts';
import { createSlab, layOut } from '../../src/sys/memory.ts';
import { SOCKADDR_WORDS } from '../../src/sys/sockaddr.ts';
import { measureHeap } from '../support/heap.ts';

const DATAGRAMS = 64;
const STRETCHES = 50;
const BATCHES_A_STRETCH = 500;
const WARM_UP_BATCHES = 5_000;
/** A tenth of a byte a datagram; V8's smallest object is 12 bytes. */
const BOUND_BYTES = 200_000;
const KEPT_BYTES = 50_000;
const LANES = [100, 101];

/** Takes every message, but for the first calls of each batch: one waits, one is too long. */
function fakeKernel(): { batch(): void } {
  let call = 0;
  let fragments = false;
  libc.sendmmsg = (_fd, _messages, count) => {
    call++;
    if (fragments || call > 2) return count;
    koffi.errno(call === 1 ? EAGAIN : EMSGSIZE);
    return -1;
  };
  libc.poll = () => 1;
  libc.setsockopt = (_fd, _level, _name, value) => {
    fragments = value?.[0] === IP_PMTUDISC_DONT;
    return 0;
  };
  return {
    batch() {
      call = 0;
    },
  };
}

function createBatches(kernel: { batch(): void }) {
  const slab = createSlab(2 * 1024 * 1024);
  const layout = layOut(slab);
  const block = new Float64Array(counters.BLOCK_SLOTS);
  const egress = createEgress({
    ...{ slab, layout, block, bindAddress: '10.0.0.1', wake: -1 },
    accounts: new Float64Array(8 * counters.ACCOUNT_SLOTS),
    tap: { mode: 0, refresh() {}, packet() {}, drop() {} },
    answer: { unreachable() {}, timeExceeded() {}, mayTellMtu: () => false, fragNeeded() {} },
    sockets: Int32Array.from(LANES),
    limits: { datagrams: 127 },
    lowerSegmentation() {},
  });
  const table = new Int32Array(8 * SOCKADDR_WORDS);
  const to = { peer: 0, account: 0 };
  const packet = layout.take(2048, 64);
  return {
    block,
    send(batches: number): void {
      for (let done = 0; done < batches; done++) {
        kernel.batch();
        for (let i = 0; i < DATAGRAMS; i++) {
          to.account = i & 7;
          to.peer = to.account * SOCKADDR_WORDS;
          egress.sender.addSlice(packet, 52);
          egress.sender.addSlice(packet + 64, 1376);
          egress.push(to, 1428, packet, (i & 1) << 8);
        }
        egress.flush(table);
      }
    },
  };
}

test('a million and a half datagrams leave without an allocation', () => {
  const originals = { ...libc };
  try {
    const { block, send } = createBatches(fakeKernel());
    send(WARM_UP_BATCHES);
    const { left, kept } = measureHeap(STRETCHES, () => send(BATCHES_A_STRETCH));
    const batches = WARM_UP_BATCHES + STRETCHES * BATCHES_A_STRETCH;
    assert.equal(block[counters.DATAGRAMS], batches * DATAGRAMS);
    // The first run of each batch, one of its peers'.
    assert.equal(block[counters.OUTER_FRAGMENTED], (batches * DATAGRAMS) / 8);
    assert.equal(block[counters.CALL_POLL + counters.CALL_OK], batches);
    assert.ok(left <= BOUND_BYTES, `${left} bytes were allocated`);
    assert.ok(kept <= KEPT_BYTES, `${kept} bytes stayed`);
  } finally {
    Object.assign(libc, originals);
  }
});
