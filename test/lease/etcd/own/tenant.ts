import type { EtcdTiming } from '../../../../src/lease/etcd/options.ts';
import { createEtcdRegistry } from '../../../../src/lease/etcd/registry.ts';
import type { Attributes, Lease } from '../../../../src/lease/lease.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../../../src/lease/network.ts';
import type { LeaseEvents, LeaseKeeper, LeaseWish } from '../../../../src/lease/registry.ts';
import { formatPrefix4, parseAddress4, parsePrefix4 } from '../../../../src/wire/address.ts';
import type { Etcd } from '../../../support/etcd.ts';
import { waitFor } from '../../../support/waitfor.ts';
import { LogBook } from '../../mirror.ts';

/** Short enough for a test; the server must be told to bear such pings. */
export const KEEN: Partial<EtcdTiming> = {
  keepalive: 200,
  keepaliveTimeout: 200,
  call: 1000,
  backoffMost: 200,
};
export const BEAR = ['--grpc-keepalive-min-time', '50ms'];

/** A network config as it would be written in etcd. */
export function networkOf(config: object): NetworkConfig {
  const parsed = parseNetworkConfig(JSON.stringify(config));
  if (!parsed.ok) throw new Error(parsed.faults.join());
  return parsed.config;
}

export const NETWORK = networkOf({ Network: '10.5.0.0/16' });

/** What a node says of itself, by its PublicIP. */
export function attributesOf(publicAddress: string, more: Partial<Attributes> = {}): Attributes {
  return { publicAddress: parseAddress4(publicAddress)!, backendType: '', ...more };
}

export interface TenantOptions {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly publicAddress?: string;
  readonly attributes?: Attributes;
  readonly network?: NetworkConfig;
  readonly previous?: string;
  readonly timeToLiveSeconds?: number;
  readonly renewMarginMinutes?: number;
  readonly timing?: Partial<EtcdTiming>;
}

/** A node that wants a lease, with a record of all that it heard. */
export class Tenant implements LeaseEvents {
  readonly events: string[] = [];
  readonly book = new LogBook();
  readonly keeper: LeaseKeeper;
  #stopped: Promise<void> | undefined;

  constructor(options: TenantOptions) {
    const { endpoints, prefix, timing = KEEN } = options;
    const registry = createEtcdRegistry({ endpoints, prefix, timing, log: this.book.log });
    this.keeper = registry.keep(wishOf(options), this);
  }

  held(lease: Lease): void {
    this.events.push(`held ${formatPrefix4(lease.subnet)}`);
  }

  lost(reason: string): void {
    this.events.push(`lost ${reason}`);
  }

  trouble(reason: string): void {
    this.events.push(reason === '' ? 'well' : `trouble ${reason}`);
  }

  /** The subnet held now, or undefined. */
  subnet(): string | undefined {
    const { lease } = this.keeper.status();
    return lease === null ? undefined : formatPrefix4(lease.subnet);
  }

  /** The subnet, once one is held. */
  async holds(): Promise<string> {
    return waitFor('a lease to be held', () => this.subnet());
  }

  /** How often a subnet was held from then on. */
  times(event: string): number {
    return this.events.filter((line) => line.startsWith(event)).length;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.keeper.stop();
    return this.#stopped;
  }
}

function wishOf(options: TenantOptions): LeaseWish {
  const { publicAddress = '192.0.2.1', timeToLiveSeconds, previous } = options;
  return {
    network: options.network ?? NETWORK,
    attributes: options.attributes ?? attributesOf(publicAddress),
    previous: previous === undefined ? undefined : parsePrefix4(previous),
    renewMarginMinutes: options.renewMarginMinutes ?? 60,
    ...(timeToLiveSeconds !== undefined && { timeToLiveSeconds }),
  };
}

/** A key as etcdctl shows it; numbers of 64 bits as text. */
export interface Shown {
  readonly key: string;
  readonly value: string;
  readonly lease: string;
  readonly revision: number;
}

/** All keys below the lease folder, by their names there. */
export async function leasesIn(etcd: Etcd, prefix: string): Promise<Map<string, Shown>> {
  const text = await etcd.etcdctl(['get', '--prefix', '-w', 'json', '--', `${prefix}/subnets/`]);
  // etcd writes lease numbers as numbers, beyond what a double holds.
  const answer = JSON.parse(text.replace(/"lease":(\d+)/g, '"lease":"$1"'));
  const shown = new Map<string, Shown>();
  for (const { key, value, lease = '0', mod_revision: revision } of answer.kvs ?? []) {
    const name = Buffer.from(key, 'base64').toString().slice(`${prefix}/subnets/`.length);
    shown.set(name, { key: name, value: Buffer.from(value, 'base64').toString(), lease, revision });
  }
  return shown;
}

/** All etcd leases there are, as decimal text. */
export async function etcdLeases(etcd: Etcd): Promise<string[]> {
  const text = await etcd.etcdctl(['lease', 'list']);
  return [...text.matchAll(/^([0-9a-f]{16})$/gm)].map(([, id]) => BigInt(`0x${id}`).toString());
}

/** Seconds that an etcd lease was granted and has left. */
export async function timeToLive(
  etcd: Etcd,
  id: string,
): Promise<{ granted: number; left: number }> {
  const text = await etcd.etcdctl(['lease', 'timetolive', BigInt(id).toString(16)]);
  const match = /granted with TTL\((\d+)s\), remaining\((-?\d+)s\)/.exec(text);
  return { granted: Number(match?.[1]), left: Number(match?.[2] ?? -1) };
}
