import { release as kernelRelease } from 'node:os';
import type { TappedPacket } from '../../dataplane/tap/reader.ts';
import { guardedInterval } from '../../http/boundary.ts';
import { dropReason } from '../../watch/describe.ts';
import type { PacketFilter } from '../../watch/filter.ts';
import * as pcapng from '../../watch/pcapng.ts';
import type { Listening, Watch } from '../../watch/watch.ts';
import type { Way } from './outflow.ts';

export interface CaptureOrder {
  readonly filter: PacketFilter;
  /** The same as it was asked for. */
  readonly words: string;
  readonly snapLength: number;
  /** Ends after so many packets, and before the file would have more bytes than that. */
  readonly count: number;
  readonly bytes: number;
  readonly device: string;
  readonly version: string;
}

/** What a client may leave unread: a tenth of a second at 300 Mb/s. */
export const CAPTURE_WAITING_BYTES = 4 * 1024 * 1024;
/** Losses are told once a second, so that a file that is cut off tells most of them. */
const STATISTICS_EVERY_MS = 1_000;
/** The statistics at the end fit. */
const LAST_BLOCK_BYTES = 256;

/** One client of /v1/capture: a pcapng file as it grows, its end told by statistics. */
export class Capture {
  private readonly order: CaptureOrder;
  private readonly outflow: Way['outflow'];
  private readonly listening: Listening;
  private readonly timer: NodeJS.Timeout;
  private readonly beganMicros = Date.now() * 1000;
  private bytes = 0;
  private written = 0;
  private ringFull = 0;
  private slowReader = 0;
  private lostBefore = 0;
  /** Losses that statistics have told. */
  private told = 0;

  constructor(order: CaptureOrder, watch: Watch, { outflow, failed }: Way) {
    this.order = order;
    this.outflow = outflow;
    const { filter, snapLength } = order;
    const wish = { filter, snapLength, every: 1, dropsEvery: 1 };
    this.listening = watch.listen(wish, {
      packets: (batch) => this.take(batch),
      failed,
      lost: (count) => {
        this.ringFull += count;
        this.lostBefore += count;
      },
    });
    outflow.begin();
    this.put(this.head());
    this.timer = guardedInterval(() => this.tellLosses(), STATISTICS_EVERY_MS, failed);
  }

  /** Releases the tap and closes the file; may be called again. */
  end(): void {
    this.release();
    this.outflow.end(this.statistics());
  }

  /** Releases the tap of a client that is gone. */
  release(): void {
    clearInterval(this.timer);
    this.listening.stop();
  }

  private head(): Uint8Array {
    const { device, version, snapLength, words } = this.order;
    const application = `weft ${version}`;
    const description = 'the overlay of weft: inner packets';
    return Buffer.concat([
      pcapng.sectionHeader({ application, hardware: process.arch, system: kernel() }),
      pcapng.interfaceDescription({ name: device, description, snapLength, filter: words }),
    ]);
  }

  private put(piece: Uint8Array): boolean {
    if (!this.outflow.write(piece)) return false;
    this.bytes += piece.length;
    return true;
  }

  private take(batch: readonly TappedPacket[]): void {
    const { count, bytes: most, snapLength } = this.order;
    const blocks: Uint8Array[] = [];
    let full = false;
    let bytes = this.bytes + LAST_BLOCK_BYTES;
    for (const packet of batch) {
      const lostBefore = blocks.length === 0 ? this.lostBefore : 0;
      const block = encode(packet, snapLength, lostBefore);
      full = bytes + block.length > most;
      if (full) break;
      bytes += block.length;
      blocks.push(block);
      full = this.written + blocks.length >= count;
      if (full) break;
    }
    if (blocks.length > 0 && this.put(Buffer.concat(blocks))) {
      this.written += blocks.length;
      this.lostBefore = 0;
    } else if (blocks.length > 0) {
      this.slowReader += blocks.length;
      this.lostBefore += blocks.length;
      return;
    }
    if (full) this.end();
  }

  private tellLosses(): void {
    const lost = this.ringFull + this.slowReader;
    const room = this.bytes + 2 * LAST_BLOCK_BYTES <= this.order.bytes;
    if (lost > this.told && room && this.put(this.statistics())) this.told = lost;
  }

  private statistics(): Uint8Array {
    const { written, ringFull, slowReader, beganMicros: startMicros } = this;
    const dropped = ringFull + slowReader;
    return pcapng.interfaceStatistics({
      startMicros,
      endMicros: Date.now() * 1000,
      received: written + dropped,
      dropped,
      ...(dropped === 0
        ? {}
        : { comment: `not captured: ${ringFull} no room for copies, ${slowReader} slow reader` }),
    });
  }
}

const kernel = (): string => `Linux ${kernelRelease()}`;

function encode(packet: TappedPacket, snapLength: number, lostBefore: number): Uint8Array {
  const { bytes, length, time, direction } = packet;
  return pcapng.enhancedPacket({
    micros: Math.round(time * 1000),
    bytes: bytes.length > snapLength ? bytes.subarray(0, snapLength) : bytes,
    length,
    inbound: direction === 'rx',
    comment: commentOn(packet),
    lostBefore,
  });
}

/** What the packet itself does not say. */
export function commentOn(packet: TappedPacket): string {
  const reason = dropReason(packet);
  const parts = [
    packet.peer === '' ? 'peer unknown' : `peer ${packet.peer}`,
    ...(reason === null ? [] : [`dropped: ${reason.label} (${reason.meaning})`]),
    ...(packet.segment === 0 ? [] : [`superpacket, cut every ${packet.segment} bytes of payload`]),
  ];
  return parts.join('; ');
}
