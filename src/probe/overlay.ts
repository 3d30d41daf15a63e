import type { Logger } from 'pino';
import type { Heard } from './echo.ts';
import { type EchoOptions, type EchoSocket, NoRawSocket, openEchoSocket } from './socket.ts';

/** Where a probe goes: a peer's own address inside the overlay, `10.244.2.0`. */
export interface Target {
  readonly subnet: string;
  readonly address: string;
}

/** What is known of one peer; loss is over the last ten probes. */
export interface ProbeResult {
  readonly roundTripMs: number | null;
  readonly lossRatio: number;
  readonly sent: number;
  readonly lastAnswerSeconds: number | null;
}

/**
 * A link is more than its name: a socket bound to one (SO_BINDTODEVICE, socket(7)) stays with its
 * index, and reaches nobody once another link has the name.
 */
export interface ProbeDevice {
  readonly name: string;
  readonly index: number;
}

export interface OverlayProbeOptions {
  /** Seconds between two probes of one peer, more where the budget asks for it; 0 is off. */
  readonly everySeconds: number;
  /** The device, once it is there and up. */
  readonly device: () => ProbeDevice | undefined;
  /** The peers now. */
  readonly targets: () => readonly Target[];
  readonly log: Logger;
  /** Stands in for the socket in tests. */
  readonly open?: (options: EchoOptions) => Promise<EchoSocket>;
}

export interface OverlayProbe {
  /** Undefined until the first probe of that peer is settled. */
  of(subnet: string): ProbeResult | undefined;
  /** Why nothing is probed; empty while it is. */
  off(): string;
  close(): void;
}

/** All peers together: 5,000 of them are each asked every 100 s, at 4 kB/s. */
const PROBES_PER_SECOND = 50;
/** Neighbouring nodes that were started together must not ask in step. */
const JITTER = 0.2;
const LOST_AFTER_MS = 2_000;
const WINDOW = 10;
const PACKET_BYTES = 64;
/** With nobody to ask, or no device yet. */
const LOOK_AGAIN_MS = 500;
/** What is missing is a package or a privilege: nobody adds these in a hurry. */
const REOPEN_AFTER_MS = 30_000;

/** Pings every peer's own address through the tunnel, one after the other, at a low rate. */
export function startOverlayProbe(options: OverlayProbeOptions): OverlayProbe {
  const probe = new Prober(options);
  probe.start();
  return probe;
}

interface Record {
  sent: number;
  /** The last outcomes, newest first: true is lost. */
  losses: boolean[];
  roundTripMs: number | null;
  lastAnswerSeconds: number | null;
}

interface Waiting {
  readonly record: Record;
  readonly address: string;
  readonly sentAt: number;
  readonly timer: NodeJS.Timeout;
}

class Prober implements OverlayProbe {
  private readonly options: OverlayProbeOptions;
  private readonly records = new Map<string, Record>();
  private readonly waiting = new Map<number, Waiting>();
  private round: Target[] = [];
  private peers = 0;
  private sequence = 0;
  private socket: EchoSocket | undefined;
  /** Index of the link. */
  private boundTo: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private reason = '';
  private closed = false;

  constructor(options: OverlayProbeOptions) {
    this.options = options;
    if (options.everySeconds === 0) this.reason = 'switched off by --probe-interval 0';
  }

  start(): void {
    if (this.options.everySeconds > 0) void this.turn();
  }

  of(subnet: string): ProbeResult | undefined {
    const record = this.records.get(subnet);
    if (record === undefined || record.losses.length === 0) return undefined;
    const lost = record.losses.filter(Boolean).length;
    const { sent, roundTripMs, lastAnswerSeconds } = record;
    return { sent, roundTripMs, lastAnswerSeconds, lossRatio: lost / record.losses.length };
  }

  off(): string {
    if (this.reason !== '' || this.options.device() !== undefined) return this.reason;
    return 'weft has no device here';
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    for (const { timer } of this.waiting.values()) clearTimeout(timer);
    this.waiting.clear();
    this.socket?.close();
    this.socket = undefined;
  }

  private async turn(): Promise<void> {
    let pauseMs = LOOK_AGAIN_MS;
    try {
      const target = this.next();
      if (target !== undefined && (await this.ready())) {
        this.ask(target);
        pauseMs = this.pause();
      }
    } catch (error) {
      if (!(error instanceof NoRawSocket)) throw error;
      if (this.reason !== error.message)
        this.options.log.info(`no overlay probe: ${error.message}`);
      this.reason = error.message;
      // The link went between a look at it and the binding: it may be back at once.
      pauseMs = error.passing ? LOOK_AGAIN_MS : REOPEN_AFTER_MS;
    }
    if (!this.closed) this.timer = setTimeout(() => void this.turn(), pauseMs).unref();
  }

  /** The next of this round; a new round asks who there is now, and forgets the others. */
  private next(): Target | undefined {
    if (this.round.length === 0) {
      this.round = [...this.options.targets()];
      this.peers = this.round.length;
      const present = new Set(this.round.map(({ subnet }) => subnet));
      for (const subnet of this.records.keys()) {
        if (!present.has(subnet)) this.records.delete(subnet);
      }
    }
    return this.round.pop();
  }

  private pause(): number {
    const share = (this.options.everySeconds * 1000) / Math.max(1, this.peers);
    const least = 1000 / PROBES_PER_SECOND;
    return Math.max(share, least) * (1 - JITTER + 2 * JITTER * Math.random());
  }

  /** A socket on the device; another one where the device is another. */
  private async ready(): Promise<boolean> {
    const device = this.options.device();
    if (device === undefined) return false;
    if (this.socket !== undefined && this.boundTo === device.index) return true;
    this.socket?.close();
    this.socket = undefined;
    const open = this.options.open ?? openEchoSocket;
    const socket = await open({
      device: device.name,
      heard: (heard) => this.heard(heard),
      trouble: (reason) => this.options.log.debug({ reason }, 'overlay probe'),
    });
    if (this.closed) {
      socket.close();
      return false;
    }
    this.socket = socket;
    this.boundTo = device.index;
    this.reason = '';
    return true;
  }

  private ask({ subnet, address }: Target): void {
    const record = this.records.get(subnet) ?? {
      sent: 0,
      losses: [],
      roundTripMs: null,
      lastAnswerSeconds: null,
    };
    this.records.set(subnet, record);
    record.sent += 1;
    this.sequence = (this.sequence + 1) & 0xffff;
    const sequence = this.sequence;
    const timer = setTimeout(() => this.settle(sequence, true), LOST_AFTER_MS).unref();
    this.waiting.set(sequence, { record, address, sentAt: performance.now(), timer });
    // What could not leave is lost as well, and the timer says so.
    this.socket?.send(address, sequence, PACKET_BYTES, () => undefined);
  }

  private heard(heard: Heard): void {
    if (heard.kind === 'reply' && this.waiting.get(heard.sequence)?.address === heard.from) {
      this.settle(heard.sequence, false);
    }
  }

  private settle(sequence: number, lost: boolean): void {
    const entry = this.waiting.get(sequence);
    if (entry === undefined) return;
    this.waiting.delete(sequence);
    clearTimeout(entry.timer);
    const { record } = entry;
    record.losses = [lost, ...record.losses].slice(0, WINDOW);
    if (lost) return;
    record.roundTripMs = performance.now() - entry.sentAt;
    record.lastAnswerSeconds = Date.now() / 1000;
  }
}
