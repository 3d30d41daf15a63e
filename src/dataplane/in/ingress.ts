/**
 * The way in of a batch: admitted packets form trains, each train is one write to the TUN, and each
 * refusal of the kernel is counted.
 */
import type { Coalescer, CoalesceWishes } from '../../offload/coalesce.ts';
import type { Extend } from '../../offload/extend.ts';
import { TRAIN_PACKETS, type Trains } from '../../offload/trains.ts';
import { EAGAIN, EBADFD, EINVAL, EIO, ENOBUFS, ENOMEM } from '../../sys/errno.ts';
import { type Layout, type Slab, viewOf, writeIovec } from '../../sys/memory.ts';
import { IOVEC_SIZE } from '../../sys/struct.ts';
import type { TunWriter } from '../../tun/write.ts';
import { IPV4_HEADER_MINIMUM } from '../../wire/ipv4.ts';
import { TCP_CHECKSUM_AT } from '../../wire/tcp.ts';
import { UDP_CHECKSUM_AT } from '../../wire/udp.ts';
import {
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_HEADER_LENGTH,
  VIRTIO_NEEDS_CSUM,
  type VirtioFields,
  writeVirtio,
} from '../../wire/virtio.ts';
import * as counters from '../counters.ts';
import type { Ladder } from '../ladder.ts';
import type { Tap } from '../tap/writer.ts';
import type { Ledger } from './ledger.ts';

/** virtio_net_hdr, the first packet whole, and a slice for each packet more. */
const VECTOR = TRAIN_PACKETS + 1;

export interface IngressOptions {
  readonly slab: Slab;
  readonly layout: Layout;
  readonly writer: TunWriter;
  readonly block: Float64Array;
  readonly tap: Tap;
  readonly ledger: Ledger;
  readonly coalescer: Coalescer;
  readonly wishes: CoalesceWishes;
  readonly ladder: Ladder;
}

export interface Ingress {
  /** Takes an admitted packet; it is written by the next `flush`, or at once if nothing joins. */
  deliver(at: number, length: number): void;
  /** Takes a packet that goes on where the one delivered before it ended, admitted or not. */
  readonly extend: Extend;
  /** Writes what waits. */
  flush(): void;
  /** Whether the device has gone. */
  gone(): boolean;
}

export function createIngress(options: IngressOptions): Ingress {
  const { slab, layout, writer, block, tap, ledger, coalescer, wishes, ladder } = options;
  const { trains } = coalescer;
  const header = layout.take(VIRTIO_HEADER_LENGTH, 16);
  const iovecs = layout.take(VECTOR * IOVEC_SIZE, 64);
  const vector = viewOf(slab, iovecs, VECTOR * IOVEC_SIZE);
  for (let i = 0; i < VECTOR; i++) writeIovec(slab, iovecs + i * IOVEC_SIZE, header, 0);
  writeIovec(slab, iovecs, header, VIRTIO_HEADER_LENGTH);
  const { words, low } = slab;
  const fields: VirtioFields = {
    flags: VIRTIO_NEEDS_CSUM,
    gsoType: 0,
    headerLength: 0,
    gsoSize: 0,
    checksumStart: IPV4_HEADER_MINIMUM,
    checksumOffset: 0,
  };
  let deleted = false;

  function deliver(at: number, length: number): void {
    if (!wishes.tcp && !wishes.udp && trains.count === 0) {
      writeOne(at, length);
      return;
    }
    if (coalescer.full()) flush();
    coalescer.add(at, length);
  }

  function flush(): void {
    if (trains.count === 0) return;
    for (let train = 0; train < trains.count; train++) {
      if (trains.packets[train] === 1) writeOne(trains.at[train], trains.firstLength[train]);
      else writeTrain(train);
    }
    coalescer.clear();
  }

  function writeOne(at: number, length: number): void {
    const code = writer.writePacket(at, length);
    if (code !== 0) {
      dropped(refused(code, 1), at, length);
      ledger.lose(at, length);
      return;
    }
    block[counters.CALL_WRITEV + counters.CALL_OK]++;
    block[counters.PACKETS]++;
    block[counters.INNER_BYTES] += length;
  }

  function writeTrain(train: number): void {
    coalescer.finish(train);
    const isTcp = trains.isTcp[train] !== 0;
    fields.gsoType = isTcp ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_UDP_L4;
    fields.headerLength = trains.header[train];
    fields.gsoSize = trains.size[train];
    fields.checksumOffset = isTcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
    writeVirtio(slab.bytes, header, fields);
    const packets = trains.packets[train];
    const code = writer.writeVector(vector, wireTrain(trains, train));
    if (code === EINVAL) {
      writeApart(train);
      return;
    }
    if (code !== 0) {
      dropped(refused(code, packets), trains.at[train], trains.firstLength[train]);
      loseTrain(train);
      return;
    }
    block[counters.CALL_WRITEV + counters.CALL_OK]++;
    block[counters.PACKETS] += packets;
    block[counters.INNER_BYTES] += trains.payload[train] + packets * trains.header[train];
    block[counters.SUPERPACKETS]++;
    counters.observe(block, counters.SEGMENT_HISTOGRAM, packets);
  }

  /** A kernel that refuses superpackets (native-notes/features.md) gets this one in pieces. */
  function writeApart(train: number): void {
    block[counters.CALL_WRITEV + counters.CALL_ERROR]++;
    if (trains.isTcp[train] !== 0) {
      wishes.tcp = false;
      ladder.lower('coalesce_tcp');
    } else {
      wishes.udp = false;
      ladder.lower('coalesce_udp');
    }
    coalescer.undo(train);
    writeOne(trains.at[train], trains.firstLength[train]);
    const row = train * TRAIN_PACKETS;
    const headers = trains.header[train];
    for (let i = 0; i < trains.packets[train] - 1; i++) {
      writeOne(trains.sliceAt[row + i] - headers, trains.sliceLength[row + i] + headers);
    }
  }

  /** Points the vector at a train's packets; returns how many iovecs it takes. */
  function wireTrain(of: Trains, train: number): number {
    const base = iovecs >> 2;
    words[base + 4] = low + of.at[train];
    words[base + 6] = of.firstLength[train];
    const slices = of.packets[train] - 1;
    const row = train * TRAIN_PACKETS;
    for (let i = 0; i < slices; i++) {
      const iovec = base + 8 + 4 * i;
      words[iovec] = low + of.sliceAt[row + i];
      words[iovec + 2] = of.sliceLength[row + i];
    }
    return slices + 2;
  }

  /** Counts the packets under the reason that the errno stands for, and returns its slot. */
  function refused(code: number, packets: number): number {
    const again = code === EAGAIN || code === ENOBUFS || code === ENOMEM;
    block[counters.CALL_WRITEV + (again ? counters.CALL_AGAIN : counters.CALL_ERROR)]++;
    if (code === EBADFD) deleted = true;
    const down = code === EIO ? counters.RX_TUN_DOWN : counters.RX_TUN_REFUSED;
    const reason = again ? counters.RX_TUN_FULL : down;
    block[reason] += packets;
    return reason;
  }

  /** Of a train the first packet stands for all. */
  function dropped(reason: number, at: number, length: number): void {
    if (tap.mode !== 0) tap.drop(reason, at, length, words, ledger.senderOf(at));
  }

  /** Each packet is its own sender's: with `--accept any` one train may have packets of several. */
  function loseTrain(train: number): void {
    ledger.lose(trains.at[train], trains.firstLength[train]);
    const row = train * TRAIN_PACKETS;
    for (let i = 0; i < trains.packets[train] - 1; i++) {
      ledger.lose(trains.sliceAt[row + i], trains.sliceLength[row + i] + trains.header[train]);
    }
  }

  return {
    deliver,
    extend: coalescer.extend,
    flush,
    gone() {
      return deleted;
    },
  };
}
