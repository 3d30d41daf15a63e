import type { NetworkConfig, NetworkReading } from '../../lease/network.ts';
import type { Logger } from '../../log.ts';
import { formatPrefix4 } from '../../wire/address.ts';
import { Rounds } from '../node/rounds.ts';

/** One small read a node; a thousand nodes are a hundred reads a second for all of etcd. */
const LOOK_EVERY_MS = 10_000;

/** Whether the node goes by the network config that the store has. */
export interface InForceStatus {
  /** Null until the store was read and there is one in force. */
  readonly inForce: boolean | null;
  /** What the store has instead, and the cure; empty while it is in force or not known. */
  readonly reason: string;
  /** Unix time since when it is so. */
  readonly sinceSeconds: number;
}

export interface InForceOptions {
  readonly read: () => Promise<NetworkReading>;
  /** The config that everything is set for; undefined while there is none, or it is left. */
  readonly current: () => NetworkConfig | undefined;
  readonly log: Pick<Logger, 'warn' | 'info'>;
}

const UNKNOWN: InForceStatus = { inForce: null, reason: '', sinceSeconds: 0 };

/**
 * Looks every so often whether the config in the store is still the one in force: whoever put
 * another and forgot SIGHUP, or whose SIGHUP was refused, is told so for as long as it lasts. A
 * store out of reach changes nothing: what was known stays.
 */
export class InForce {
  private readonly options: InForceOptions;
  private readonly timer: NodeJS.Timeout;
  private readonly rounds = new Rounds(() => this.read());
  private known = UNKNOWN;

  constructor(options: InForceOptions) {
    this.options = options;
    this.timer = setInterval(() => void this.look(), LOOK_EVERY_MS).unref();
  }

  /** While one config is left for another none is in force. */
  status(): InForceStatus {
    if (this.options.current() !== undefined || this.known.inForce === null) return this.known;
    return { ...this.known, inForce: false, reason: 'another network config is being taken over' };
  }

  /** Resolves when the store was asked after this call; never rejects. */
  look(): Promise<void> {
    return this.rounds.ask();
  }

  stop(): Promise<void> {
    clearInterval(this.timer);
    return this.rounds.stop();
  }

  private async read(): Promise<void> {
    let reading: NetworkReading;
    try {
      reading = await this.options.read();
    } catch {
      return;
    }
    const current = this.options.current();
    if (current === undefined || reading.kind === 'unreachable') return;
    this.learn(whyNotInForce(reading, current));
  }

  private learn(reason: string): void {
    if (this.known.inForce !== null && this.known.reason === reason) return;
    const { log } = this.options;
    if (reason !== '') log.warn(`${reason}; what is in force stays`);
    else if (this.known.inForce === false) log.info('the network config in the store is in force');
    const sinceSeconds = Date.now() / 1000;
    this.known = { inForce: reason === '', reason, sinceSeconds };
  }
}

/** Empty where what the store has is what is in force. */
export function whyNotInForce(
  reading: Exclude<NetworkReading, { kind: 'unreachable' }>,
  current: NetworkConfig,
): string {
  switch (reading.kind) {
    case 'missing':
      return `there is no network config at ${reading.where} any more: put it there again`;
    case 'bad':
      return `the network config at ${reading.where} cannot be used: ${reading.faults.join('; ')}`;
    case 'config': {
      if (sameConfig(reading.config, current)) return '';
      const [there, here] = [reading.config, current].map(describe);
      const what = there === here ? 'is written otherwise' : `says ${there}, in force is ${here}`;
      return `the network config in the store ${what}: SIGHUP takes it over`;
    }
  }
}

/** Whether two configs are the same, by the text that the store has: nothing is walked for it. */
export function sameConfig(one: NetworkConfig, other: NetworkConfig): boolean {
  return one.text === other.text;
}

function describe({ ipv4, backend }: NetworkConfig): string {
  if (ipv4 === null) return `IPv6 alone with ${backend.type}`;
  return `${formatPrefix4(ipv4.network)} in /${ipv4.subnetLength} with ${backend.type}`;
}
