import type { TappedPacket } from '../../dataplane/tap/reader.ts';
import { guardedInterval } from '../../http/boundary.ts';
import { type DropsView, dropCounts } from '../../observe/drops/counts.ts';
import { toShownJson } from '../../untrusted/text.ts';
import { describePacket, dropReason } from '../../watch/describe.ts';
import type { PacketFilter } from '../../watch/filter.ts';
import type { Listening, Watch } from '../../watch/watch.ts';
import { LEAST_SNAP_LENGTH } from '../../watch/wish.ts';
import { totals } from '../answer/totals.ts';
import type { Way } from './outflow.ts';
import { Allowance, Pace, PERIOD_MS } from './pace.ts';
import type { MonitorSummary, SeenPacket } from './schema.ts';

export interface MonitorOrder {
  readonly filter: PacketFilter;
  /** Packets a second. */
  readonly rate: number;
  /** Ends after so many. */
  readonly count: number;
}

/** Lines that a client may leave unread, with a reason a line at most some 500 bytes each. */
export const MONITOR_WAITING_BYTES = 256 * 1024;
/** Every header that is described. */
const SNAP_LENGTH = LEAST_SNAP_LENGTH + 32;
const SUMMARY_EVERY_MS = 1_000;

/** One client of /v1/monitor: packets as lines of JSON at a bounded rate, a summary a second. */
export class Monitor {
  private readonly order: MonitorOrder;
  private readonly view: DropsView;
  private readonly outflow: Way['outflow'];
  private readonly listening: Listening;
  private readonly timers: readonly NodeJS.Timeout[];
  private readonly allowance: Allowance;
  private readonly atBegin: { readonly passed: number; readonly dropped: number };
  private readonly paces: { readonly packets: Pace; readonly drops: Pace };
  private shown = 0;
  private leftOut = { byRate: 0, ringFull: 0, slowReader: 0 };

  constructor(order: MonitorOrder, view: DropsView, watch: Watch, { outflow, failed }: Way) {
    this.order = order;
    this.view = view;
    this.outflow = outflow;
    const now = performance.now();
    this.allowance = new Allowance(order.rate, now);
    this.paces = { packets: new Pace(order.rate, now), drops: new Pace(order.rate, now) };
    this.atBegin = this.nodeTotals();
    const wish = { filter: order.filter, snapLength: SNAP_LENGTH, every: 1, dropsEvery: 1 };
    this.listening = watch.listen(wish, {
      packets: (batch) => this.show(batch),
      failed,
      lost: (count) => {
        this.leftOut.ringFull += count;
      },
    });
    outflow.begin();
    this.timers = [
      guardedInterval(() => this.keepPace(0, 0), PERIOD_MS, failed),
      guardedInterval(() => outflow.write(this.summary(null)), SUMMARY_EVERY_MS, failed),
    ];
  }

  /** Releases the tap and says why it ends; may be called again. */
  end(reason: MonitorSummary['ended']): void {
    this.release();
    this.outflow.end(this.summary(reason));
  }

  /** Releases the tap of a client that is gone. */
  release(): void {
    for (const timer of this.timers) clearInterval(timer);
    this.listening.stop();
  }

  private show(batch: readonly TappedPacket[]): void {
    const now = performance.now();
    const lines: string[] = [];
    let drops = 0;
    const room = this.order.count - this.shown;
    for (const packet of batch) {
      const isDrop = packet.reason !== undefined;
      if (isDrop) drops += 1;
      if (lines.length >= room) continue;
      if (this.allowance.take(now, isDrop)) lines.push(`${toShownJson(seen(packet))}\n`);
      else this.leftOut.byRate += 1;
    }
    this.keepPace(batch.length - drops, drops);
    if (lines.length === 0) return;
    if (this.outflow.write(lines.join(''))) this.shown += lines.length;
    else this.leftOut.slowReader += lines.length;
    if (this.shown >= this.order.count) this.end('count');
  }

  private keepPace(packets: number, drops: number): void {
    const now = performance.now();
    this.paces.packets.arrive(packets, now);
    this.paces.drops.arrive(drops, now);
    this.listening.tune(this.paces.packets.every, this.paces.drops.every);
  }

  private nodeTotals(): { passed: number; dropped: number } {
    const sample = totals(this.view, dropCounts(this.view));
    const { txPackets, rxPackets, txDrops, rxDrops } = sample;
    return { passed: txPackets + rxPackets, dropped: txDrops + rxDrops };
  }

  private summary(ended: MonitorSummary['ended']): string {
    const now = this.nodeTotals();
    const summary: MonitorSummary = {
      kind: 'summary',
      atSeconds: Date.now() / 1000,
      ended,
      shown: this.shown,
      // Counters follow the packets a moment later, and so were behind at the begin.
      passed: Math.max(0, now.passed - this.atBegin.passed),
      dropped: Math.max(0, now.dropped - this.atBegin.dropped),
      oneOf: { packets: this.paces.packets.every, drops: this.paces.drops.every },
      leftOut: this.leftOut,
    };
    return `${toShownJson(summary)}\n`;
  }
}

function seen(packet: TappedPacket): SeenPacket {
  const reason = dropReason(packet);
  return {
    kind: 'packet',
    atSeconds: packet.time / 1000,
    direction: packet.direction,
    worker: packet.worker,
    peer: packet.peer === '' ? null : packet.peer,
    length: packet.length,
    segmentBytes: packet.segment === 0 ? null : packet.segment,
    reason: reason?.label ?? null,
    meaning: reason?.meaning ?? null,
    ...describePacket(packet.bytes),
  };
}
