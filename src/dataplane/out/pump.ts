/** The out pump: TUN queue → datagrams for peers. */
import { peerAddress } from '../../forwarding/table.ts';
import { IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IPPROTO_IP } from '../../sys/constants.ts';
import { EBADFD, errnoName } from '../../sys/errno.ts';
import { createSlab, layOut } from '../../sys/memory.ts';
import { openQueue } from '../../tun/device.ts';
import { createTunReader, DRAINED, type TunReader } from '../../tun/read.ts';
import { createTunWriter } from '../../tun/write.ts';
import { openSocket, setOption, sizeBuffer } from '../../udp/socket.ts';
import { type Answer, createAnswer } from '../answer.ts';
import * as counters from '../counters.ts';
import type { Pump } from '../loop.ts';
import { type BuiltPump, OUT_SLAB, type PumpSetup, SEND_BUFFER_BYTES } from '../setup.ts';
import { createEgress, type Egress } from './egress.ts';
import { createEncap, type Encap, REFUSED } from './encap.ts';

/** Opens the queue and the sockets; undefined if the pumps were told to stop meanwhile. */
export function createOutPump(setup: PumpSetup): BuiltPump | undefined {
  const { task, block, opened } = setup;
  const queue = openQueue(task.device, { vnetHeader: false, tso: false, uso: false });
  opened.push(queue.fd);
  setup.lend(queue.fd);
  const socket = setup.borrow();
  if (socket < 0) return undefined;
  sizeBuffer(socket, 'send', SEND_BUFFER_BYTES);
  const fragmenting = openSocket(task.bindAddress, 0);
  opened.push(fragmenting);
  setOption(fragmenting, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
  const slab = createSlab(OUT_SLAB);
  const layout = layOut(slab);
  const reader = createTunReader(slab, layout, queue.fd, queue.vnetHeader);
  const writer = createTunWriter(slab, layout, queue.fd, queue.vnetHeader);
  const answer = createAnswer(slab, layout, writer, block);
  const egress = createEgress({
    slab,
    layout,
    block,
    answer,
    port: task.port,
    sockets: Int32Array.of(socket),
    fragmenting,
    wake: setup.wake,
    limits: { datagrams: 1 },
    lowerSegmentation() {},
  });
  const encap = createEncap(slab.bytes, block, answer, task.timeToLive);
  const parts = { setup, reader, answer, egress, encap };
  return { pump: outPump(parts), slab, layout, fd: queue.fd };
}

interface Parts {
  readonly setup: PumpSetup;
  readonly reader: TunReader & { drain(): number };
  readonly answer: Answer;
  readonly egress: Egress;
  readonly encap: Encap;
}

function outPump(parts: Parts): Pump {
  const { reader, answer, egress, encap } = parts;
  const { block } = parts.setup;
  const { mtu, device } = parts.setup.task;

  function breathe(table: Int32Array): number {
    const count = reader.drain();
    block[counters.CALL_READV + counters.CALL_OK] += count;
    for (let i = 0; i < count; i++) forward(table, reader.at[i], reader.length[i]);
    egress.flush(table);
    return count;
  }

  function forward(table: Int32Array, at: number, length: number): void {
    const slot = encap.route(table, at, length);
    if (slot === REFUSED) return;
    if (length > mtu) {
      block[counters.TX_TOO_BIG]++;
      if (answer.mayTellMtu(at, length)) answer.fragNeeded(table, at, length, mtu);
      return;
    }
    block[counters.PACKETS]++;
    block[counters.INNER_BYTES] += length;
    egress.sender.addSlice(at, length);
    egress.push(peerAddress(table, slot) | 0, length, at, 0);
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
