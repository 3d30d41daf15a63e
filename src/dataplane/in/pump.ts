/** The in pump: datagrams of peers → TUN. */
import { findPeer } from '../../forwarding/table.ts';
import { createCoalescer } from '../../offload/coalesce.ts';
import { type ArrivalFilter, loadArrivalFilter } from '../../sys/bpf.ts';
import * as constants from '../../sys/constants.ts';
import { EAGAIN, EBADF, errnoName } from '../../sys/errno.ts';
import { createSlab, layOut, type Slab } from '../../sys/memory.ts';
import { createTunWriter } from '../../tun/write.ts';
import { createReceiver, type Receiver } from '../../udp/receive.ts';
import { openSocket, setOption, sizeBuffer } from '../../udp/socket.ts';
import { loadSum } from '../../wire/checksum.ts';
import { createAnswer } from '../answer.ts';
import * as counters from '../counters.ts';
import { createLadder } from '../ladder.ts';
import type { Pump } from '../loop.ts';
import { PUMP_SOCKET_BUFFER } from '../messages.ts';
import { type BuiltPump, IN_SLAB, type PumpSetup, RECEIVE_BUFFER_BYTES } from '../setup.ts';
import type { Tap } from '../tap/writer.ts';
import { ECN_BITS, propagateCongestion } from './congestion.ts';
import { createDecap, type Decap } from './decap.ts';
import { createIngress, type Ingress } from './ingress.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { createOverflow, type Overflow } from './overflow.ts';
import { createProbe } from './probe.ts';

/** Buffers of one recvmmsg: enough that a call costs each little, few enough to stay in cache. */
const RECEIVE_BATCH = 64;
/** Kernel drops are read every so many breaths, so also under overload, and at each heartbeat. */
const DROPS_EVERY = 64;
/** Soft socket errors in a row that end the pump. */
const ERRORS_IN_A_ROW = 1000;

/** Opens the socket and borrows the queue; undefined if the pumps were told to stop meanwhile. */
export function createInPump(setup: PumpSetup): BuiltPump | undefined {
  const { task, block, opened } = setup;
  const filter = arrivalFilter(opened);
  const socket = openSocket(task.bindAddress, task.port, (fd) => countArrivals(fd, filter));
  opened.push(socket);
  setup.report(PUMP_SOCKET_BUFFER, sizeBuffer(socket, 'receive', RECEIVE_BUFFER_BYTES));
  setOption(socket, constants.IPPROTO_IP, constants.IP_RECVTOS, 1);
  setup.lend(socket);
  const queue = setup.borrow();
  if (queue < 0) return undefined;
  const slab = createSlab(IN_SLAB);
  const layout = layOut(slab);
  // The queue was opened by the out pump, by the same wishes.
  const ladder = createLadder(setup);
  ladder.groOpened(socket);
  const vnetHeader = ladder.twinHas('tun_vnet_hdr');
  const writer = createTunWriter(slab, layout, queue, vnetHeader);
  const answer = createAnswer(slab, layout, writer, block);
  const decap = createDecap(slab.bytes, block, answer, task);
  const receiver = createReceiver(slab, layout, socket, RECEIVE_BATCH);
  const overflow = createOverflow(slab, layout, block, socket, filter);
  const probe = createProbe(slab, layout, writer);
  const mayJoinUdp = vnetHeader && ladder.has('coalesce_udp') && ladder.twinHas('tun_uso');
  const wishes = {
    tcp: vnetHeader && ladder.has('coalesce_tcp') && probe.takes('tcp'),
    udp: mayJoinUdp && probe.takes('udp'),
  };
  ladder.joining(wishes);
  const coalescer = createCoalescer(slab.bytes, loadSum(slab.memory), wishes);
  const tap = setup.tap(slab.bytes);
  const ledger = createLedger(receiver, setup.accounts);
  const tun = { slab, layout, writer, block, tap, ledger };
  const ingress = createIngress({ ...tun, coalescer, wishes, ladder });
  const pump = inPump({ setup, slab, receiver, decap, ingress, overflow, tap, ledger });
  return { pump, slab, layout, fd: socket };
}

/** Undefined where the kernel lets us load none: drops are counted less finely then. */
function arrivalFilter(opened: number[]): ArrivalFilter | undefined {
  const filter = loadArrivalFilter();
  if (typeof filter === 'number') return undefined;
  opened.push(filter.map, filter.program);
  return filter;
}

function countArrivals(socket: number, filter: ArrivalFilter | undefined): void {
  if (filter === undefined) return;
  setOption(socket, constants.SOL_SOCKET, constants.SO_ATTACH_BPF, filter.program);
}

interface Parts {
  readonly setup: PumpSetup;
  readonly slab: Slab;
  readonly receiver: Receiver;
  readonly decap: Decap;
  readonly ingress: Ingress;
  readonly overflow: Overflow;
  readonly tap: Tap;
  readonly ledger: Ledger;
}

function inPump(parts: Parts): Pump {
  const { receiver, decap, ingress, overflow, tap, ledger } = parts;
  const { bytes, words } = parts.slab;
  const { block } = parts.setup;
  const { device, timeToLive } = parts.setup.task;
  const keepsTimeToLive = timeToLive === 'keep';
  let state = 0;
  let breaths = 0;
  let errorsInARow = 0;

  function breathe(table: Int32Array): number {
    breaths = (breaths + 1) % DROPS_EVERY;
    if (breaths === 0) overflow.look(false);
    const got = receiver.receive();
    if (got < 0) {
      failed(-got);
      return 0;
    }
    errorsInARow = 0;
    overflow.received(got);
    state = got < RECEIVE_BATCH ? EAGAIN : 0;
    block[counters.CALL_RECVMMSG + counters.CALL_OK]++;
    tap.refresh();
    for (let i = 0; i < got; i++) takeIn(table, i);
    ingress.flush();
    ledger.settle(table, got);
    return got;
  }

  function failed(code: number): void {
    const again = code === EAGAIN;
    block[counters.CALL_RECVMMSG + (again ? counters.CALL_AGAIN : counters.CALL_ERROR)]++;
    // An error that the underlay reported is cleared by being read; the socket goes on.
    if (again) errorsInARow = 0;
    else errorsInARow++;
    state = code === EBADF || errorsInARow > ERRORS_IN_A_ROW ? code : EAGAIN;
  }

  function takeIn(table: Int32Array, i: number): void {
    const at = receiver.at[i];
    const length = receiver.length[i];
    const step = receiver.segmentSize[i];
    const sender = findPeer(table, words, receiver.sender[i]);
    ledger.from(i, sender);
    if (receiver.truncated[i] !== 0) {
      block[counters.RX_TRUNCATED]++;
      if (tap.mode !== 0) tap.drop(counters.RX_TRUNCATED, at, length, words, receiver.sender[i]);
      count(i, 1);
      ledger.note(i, 1, 0, 0);
      return;
    }
    let datagrams = 0;
    let admitted = 0;
    let payload = 0;
    let sentinels = 0;
    let from = 0;
    // What follows an admitted packet of this buffer may go in by the short way, unless somebody
    // watches or each packet is to be changed.
    const plain = keepsTimeToLive && tap.mode === 0 && (receiver.typeOfService[i] & ECN_BITS) === 0;
    let follows = false;
    do {
      const size = Math.min(length - from, step);
      datagrams++;
      if (
        (follows && ingress.extend(at + from, size)) ||
        takeOne(table, sender, i, at + from, size)
      ) {
        admitted++;
        payload += size;
        follows = plain;
      } else {
        follows = false;
        if (size === 1) sentinels++;
      }
      from += step;
    } while (from < length);
    count(i, datagrams);
    ledger.note(i, datagrams - sentinels, admitted, payload);
  }

  function count(i: number, datagrams: number): void {
    block[counters.DATAGRAMS] += datagrams;
    block[counters.OUTER_BYTES] += receiver.length[i] + counters.OUTER_HEADERS * datagrams;
    counters.observe(block, counters.RUN_HISTOGRAM, datagrams);
  }

  /** One datagram of buffer `i`; true if its packet goes on to the TUN. */
  function takeOne(
    table: Int32Array,
    sender: number,
    i: number,
    at: number,
    size: number,
  ): boolean {
    const name = receiver.sender[i];
    const tos = receiver.typeOfService[i];
    if (!decap.admit(table, sender, at, size)) {
      if (tap.mode !== 0 && size > 1) tap.drop(decap.reason, at, size, words, name);
      return false;
    }
    if ((tos & ECN_BITS) !== 0 && !propagateCongestion(bytes, at, tos)) {
      block[counters.RX_ECN_CONGESTION]++;
      if (tap.mode !== 0) tap.drop(counters.RX_ECN_CONGESTION, at, size, words, name);
      return false;
    }
    if (tap.mode !== 0) tap.packet(at, size, 0, words, name);
    ingress.deliver(at, size);
    return true;
  }

  return {
    breathe,
    drained() {
      return state !== 0 || ingress.gone();
    },
    fault() {
      if (ingress.gone()) return `${device} was deleted under us`;
      if (state === EAGAIN || state === 0) return undefined;
      return `receiving failed: ${errnoName(state)}`;
    },
    idle(timedOut) {
      if (timedOut || overflow.unsettled()) overflow.look(true);
    },
  };
}
