/** The out pump: TUN queue → datagrams for peers. */
import { release } from 'node:os';
import { NO_PEER, peerAccount, peerAt } from '../../forwarding/table.ts';
import { BAD_OFFLOAD, createSegmenter, PLAIN, type Segmenter } from '../../offload/segment.ts';
import { EBADFD, errnoName } from '../../sys/errno.ts';
import { createSlab, layOut } from '../../sys/memory.ts';
import { NO_ADDRESS } from '../../sys/sockaddr.ts';
import { openQueue, type Queue } from '../../tun/device.ts';
import { createTunReader, DRAINED, type TunReader } from '../../tun/read.ts';
import { createTunWriter } from '../../tun/write.ts';
import { OUTBOX_DATAGRAMS } from '../../udp/runs.ts';
import { openSocket, sizeBuffer } from '../../udp/socket.ts';
import { loadSum } from '../../wire/checksum.ts';
import { type Answer, createAnswer } from '../answer.ts';
import * as counters from '../counters.ts';
import { kernelAtLeast } from '../features.ts';
import { createLadder } from '../ladder.ts';
import type { Pump } from '../loop.ts';
import { PUMP_SOCKET_BUFFER } from '../messages.ts';
import { type BuiltPump, OUT_SLAB, type PumpSetup, SEND_BUFFER_BYTES } from '../setup.ts';
import type { Tap } from '../tap/writer.ts';
import { createEgress, type Destination, type Egress } from './egress.ts';
import { createEncap, type Encap, REFUSED } from './encap.ts';
import { outerFields } from './lane.ts';

/** Every waiting datagram may have a header of its own, 120 bytes at most. */
const STRIP = OUTBOX_DATAGRAMS * 128;

/**
 * Datagrams of one UDP_SEGMENT send: UDP_MAX_SEGMENTS (include/linux/udp.h) is 64, and 128 from
 * Linux 6.9; one less, because some kernels charge the UDP header against the last.
 */
function runDatagrams(): number {
  return kernelAtLeast(6, 9, release()) ? 127 : 63;
}

/** Opens the queue and the sockets; undefined if the pumps were told to stop meanwhile. */
export function createOutPump(setup: PumpSetup): BuiltPump | undefined {
  const { task, block, opened } = setup;
  const ladder = createLadder(setup);
  const queue = openQueue(task.device, ladder.queueWishes());
  opened.push(queue.fd);
  ladder.queueOpened(queue);
  setup.lend(queue.fd);
  const socket = setup.borrow();
  if (socket < 0) return undefined;
  setup.report(PUMP_SOCKET_BUFFER, sizeBuffer(socket, 'send', SEND_BUFFER_BYTES));
  const sockets = openLanes(setup, socket);
  if (sockets.includes(-1)) return undefined;
  const slab = createSlab(OUT_SLAB);
  const layout = layOut(slab);
  const reader = createTunReader(slab, layout, queue.fd, queue.vnetHeader);
  const writer = createTunWriter(slab, layout, queue.fd, queue.vnetHeader);
  const answer = createAnswer(slab, layout, writer, block);
  const tap = setup.tap(slab.bytes);
  const egress = createEgress({
    slab,
    layout,
    block,
    accounts: setup.accounts,
    tap,
    answer,
    bindAddress: task.bindAddress,
    sockets,
    wake: setup.wake,
    limits: { datagrams: ladder.has('udp_gso') ? runDatagrams() : 1 },
    lowerSegmentation() {
      ladder.lower('udp_gso');
    },
  });
  const encap = createEncap(slab.bytes, block, answer, task);
  const segmenter = createSegmenter(slab.bytes, loadSum(slab.memory));
  const strip = layout.take(STRIP, 64);
  const parts = {
    setup,
    bytes: slab.bytes,
    queue,
    reader,
    answer,
    egress,
    encap,
    segmenter,
    strip,
    tap,
  };
  return { pump: outPump(parts), slab, layout, fd: queue.fd };
}

/**
 * The sockets that datagrams leave by. One: the in pump's, so that they come from the well-known
 * port as flannel's do. More: a free source port each, which nobody ever reads, for peers answer to
 * the well-known port; their receive buffers are as small as the kernel allows. All workers send by
 * the same: a flow that the kernel moves to another queue of the TUN keeps its source port, so it
 * meets the same socket of the peer and comes back to the same queue here. With ports of their own
 * two nodes sent some flows round the queues for ever, and segments overtook each other.
 */
function openLanes(setup: PumpSetup, shared: number): Int32Array {
  const { txPorts, bindAddress } = setup.task;
  if (txPorts === 1) return Int32Array.of(shared);
  const open = (): number => {
    const fd = openSocket(bindAddress, 0);
    setup.opened.push(fd);
    sizeBuffer(fd, 'send', SEND_BUFFER_BYTES);
    sizeBuffer(fd, 'receive', 0);
    return fd;
  };
  return Int32Array.from({ length: txPorts }, (_, lane) => setup.lane(lane, open));
}

interface Parts {
  readonly setup: PumpSetup;
  readonly bytes: Uint8Array;
  readonly queue: Queue;
  readonly segmenter: Segmenter;
  readonly strip: number;
  readonly reader: TunReader & { drain(): number };
  readonly answer: Answer;
  readonly egress: Egress;
  readonly encap: Encap;
  readonly tap: Tap;
}

function outPump(parts: Parts): Pump {
  const { bytes, reader, answer, egress, encap, segmenter, strip, tap } = parts;
  const { vnetHeader } = parts.queue;
  const { cuts } = segmenter;
  // Where the next superpacket's headers go; the strip starts over when the outbox is empty.
  let nextHeader = strip;
  const { block, accounts } = parts.setup;
  const to: Destination = { peer: 0, account: 0 };
  const { mtu, device, dscp, txPorts } = parts.setup.task;

  function breathe(table: Int32Array): number {
    const count = reader.drain();
    block[counters.CALL_READV + counters.CALL_OK] += count;
    tap.refresh();
    for (let i = 0; i < count; i++) forward(table, reader.at[i], reader.length[i]);
    flush(table);
    return count;
  }

  function flush(table: Int32Array): void {
    egress.flush(table);
    nextHeader = strip;
  }

  function forward(table: Int32Array, at: number, length: number): void {
    const segments = vnetHeader ? segmenter.inspect(at, length) : PLAIN;
    if (segments < PLAIN) {
      const bad = segments === BAD_OFFLOAD;
      const reason = bad ? counters.TX_BAD_OFFLOAD : counters.TX_MALFORMED_OFFLOAD;
      block[reason]++;
      if (tap.mode !== 0) tap.drop(reason, at, length, NO_ADDRESS, 0);
      return;
    }
    const packets = segments === PLAIN ? 1 : segments;
    const slot = encap.route(table, at, length, packets);
    if (slot === REFUSED) {
      if (encap.peer !== NO_PEER) lost(table, encap.peer, packets);
      if (tap.mode !== 0) showRefused(table, at, length);
      return;
    }
    const longest = segments === PLAIN ? length : cuts.header + cuts.size;
    if (longest > mtu && length > mtu) {
      block[counters.TX_TOO_BIG] += packets;
      lost(table, slot, packets);
      if (tap.mode !== 0) tap.drop(counters.TX_TOO_BIG, at, length, table, to.peer);
      if (answer.mayTellMtu(at, length)) answer.fragNeeded(table, at, length, mtu);
      return;
    }
    address(table, slot);
    if (tap.mode !== 0) {
      tap.packet(at, length, segments === PLAIN ? 0 : cuts.size, table, to.peer);
    }
    if (segments === PLAIN) forwardPacket(table, at, length);
    else forwardSegments(table);
  }

  function showRefused(table: Int32Array, at: number, length: number): void {
    if (encap.peer === NO_PEER) tap.drop(encap.reason, at, length, NO_ADDRESS, 0);
    else tap.drop(encap.reason, at, length, table, peerAt(table, encap.peer));
  }

  function address(table: Int32Array, slot: number): void {
    to.peer = peerAt(table, slot);
    to.account = peerAccount(table, slot);
  }

  /** Packets for a peer that are dropped before they reach the outbox, whose account this is. */
  function lost(table: Int32Array, slot: number, packets: number): void {
    address(table, slot);
    accounts[to.account * counters.ACCOUNT_SLOTS + counters.ACCOUNT_DROPS] += packets;
  }

  function forwardPacket(table: Int32Array, at: number, length: number): void {
    if (!egress.hasRoom(1)) flush(table);
    egress.sender.addSlice(at, length);
    egress.push(to, length, at, outerFields(bytes, at, dscp, txPorts));
  }

  /** Queues the superpacket last inspected: fresh headers beside slices of its payload. */
  function forwardSegments(table: Int32Array): void {
    const { segments } = cuts;
    const fields = outerFields(bytes, cuts.at, dscp, txPorts);
    // Only those of a tiny MSS are more than an outbox holds: they leave by several.
    for (let first = 0; first < segments; first += OUTBOX_DATAGRAMS) {
      const count = Math.min(segments - first, OUTBOX_DATAGRAMS);
      if (!egress.hasRoom(count)) flush(table);
      segmenter.cut(nextHeader, first, count);
      pushSegments(first, count, fields);
    }
    block[counters.SUPERPACKETS]++;
    counters.observe(block, counters.SEGMENT_HISTOGRAM, segments);
  }

  function pushSegments(first: number, count: number, fields: number): void {
    const { at, header, size, payload, stride } = cuts;
    for (let i = first; i < first + count; i++) {
      const from = i * size;
      const slice = Math.min(payload - from, size);
      egress.sender.addSlice(nextHeader, header);
      if (slice > 0) egress.sender.addSlice(at + header + from, slice);
      egress.push(to, header + slice, at, fields);
      nextHeader += stride;
    }
  }

  function fault(): string | undefined {
    if (reader.state === DRAINED) return undefined;
    if (reader.state === EBADFD) return `${device} was deleted under us`;
    return `reading ${device} failed: ${errnoName(reader.state)}`;
  }

  return {
    breathe,
    drained() {
      return reader.state >= DRAINED;
    },
    fault,
    idle(timedOut) {
      if (!timedOut) block[counters.CALL_READV + counters.CALL_AGAIN]++;
    },
  };
}
