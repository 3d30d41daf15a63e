import type { Heard } from './echo.ts';
import { type EchoSocket, openEchoSocket } from './socket.ts';

/** A few echo requests of one size to one address. */
export interface PingPlan {
  readonly target: string;
  /** Of the whole IPv4 packet. */
  readonly bytes: number;
  readonly count: number;
}

export interface PingResult extends PingPlan {
  readonly received: number;
  readonly roundTripsMs: readonly number[];
  /** What was said of those that were lost: `192.0.2.254: unreachable`. */
  readonly errors: readonly string[];
}

const EVERY_MS = 200;
/** After the last request; a slow path takes some hundred milliseconds. */
const PATIENCE_MS = 1_000;

/** Sends pings, one plan after the other, over one socket. */
export class Pinger {
  private readonly socket: EchoSocket;
  private readonly listeners = new Set<(heard: Heard) => void>();
  private sequence = 0;

  private constructor(socket: EchoSocket, listeners: Set<(heard: Heard) => void>) {
    this.socket = socket;
    this.listeners = listeners;
  }

  /** @throws NoRawSocket */
  static async open(): Promise<Pinger> {
    const listeners = new Set<(heard: Heard) => void>();
    const tell = (heard: Heard) => {
      for (const listener of listeners) listener(heard);
    };
    return new Pinger(await openEchoSocket({ heard: tell, trouble: () => undefined }), listeners);
  }

  close(): void {
    this.socket.close();
  }

  async ping(plan: PingPlan): Promise<PingResult> {
    const sentAt = new Map<number, number>();
    const roundTripsMs: number[] = [];
    const errors = new Set<string>();
    let settled: () => void = () => undefined;
    const listener = (heard: Heard) => {
      const at = sentAt.get(heard.sequence);
      if (at === undefined) return;
      sentAt.delete(heard.sequence);
      if (heard.kind === 'reply') roundTripsMs.push(performance.now() - at);
      else errors.add(describe(heard));
      settled();
    };
    this.listeners.add(listener);
    for (let turn = 0; turn < plan.count; turn++) {
      this.sequence = (this.sequence + 1) & 0xffff;
      const { sequence } = this;
      sentAt.set(sequence, performance.now());
      this.socket.send(plan.target, sequence, plan.bytes, (reason) => {
        sentAt.delete(sequence);
        errors.add(`this host: ${reason}`);
        settled();
      });
      const last = turn === plan.count - 1;
      await pauseUntil(last ? PATIENCE_MS : EVERY_MS, (resolve) => {
        settled = () => {
          if (last && sentAt.size === 0) resolve();
        };
        settled();
      });
    }
    this.listeners.delete(listener);
    return { ...plan, received: roundTripsMs.length, roundTripsMs, errors: [...errors] };
  }
}

function describe(heard: Extract<Heard, { kind: 'error' }>): string {
  const mtu = heard.mtu > 0 ? `, MTU ${heard.mtu}` : '';
  return `${heard.from}: ${heard.reason}${mtu}`;
}

/** Waits that long, or until it is resolved. */
function pauseUntil(milliseconds: number, arm: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    arm(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
