/**
 * Traffic by lease, of pumps that count by address: what a node sends and gets is shown at one of
 * its leases, so that rows add up to all there was. What a lease was shown stays with it when it
 * moves to another address, and no count of it ever goes down.
 */
import type { PeerTraffic } from '../../dataplane/accounts.ts';
import { prefixNumber } from '../../forwarding/patch.ts';
import type { PeerRow } from '../../lease/watcher.ts';

const COUNTS = ['txPackets', 'txBytes', 'txDrops', 'rxPackets', 'rxBytes', 'rxDrops'] as const;
type Counts = Record<(typeof COUNTS)[number], number>;

/** What is shown of one lease; without counts where another lease of the same node has them. */
export type LeaseTraffic = Partial<Counts> & { readonly lastSeenSeconds: number };

export class PeerBooks {
  private readonly read: (peer: number) => PeerTraffic | undefined;
  /** By address: the lease that shows its traffic. */
  private readonly bearers = new Map<number, number>();
  /** By address, also of one that left and may come back: what of its account is in a row. */
  private readonly seen = new Map<number, Counts>();
  private readonly rows = new Map<number, Counts>();
  /** By lease: the address that it bears the traffic of. */
  private readonly addresses = new Map<number, number>();

  /** @param read the account of an address (host-order uint32), undefined where it has none */
  constructor(read: (peer: number) => PeerTraffic | undefined) {
    this.read = read;
  }

  /** These leases are about to change: what went so far went by them as they were. */
  changing(rows: readonly PeerRow[]): void {
    for (const row of rows) {
      const address = this.addresses.get(prefixNumber(row));
      if (address !== undefined) this.settle(address);
    }
  }

  /** The accounts are about to go, with the pumps that kept them. */
  closing(): void {
    for (const address of this.bearers.keys()) this.settle(address);
    this.seen.clear();
  }

  /** What to show of each lease, in their order. */
  show(leases: readonly PeerRow[]): LeaseTraffic[] {
    this.appoint(leases);
    for (const address of this.bearers.keys()) this.settle(address);
    return leases.map((lease) => {
      const lastSeenSeconds = this.read(lease.peer)?.lastSeenSeconds ?? 0;
      return { ...this.rows.get(prefixNumber(lease)), lastSeenSeconds };
    });
  }

  /** One lease of each address, the same as before where it still is one; else the first. */
  private appoint(leases: readonly PeerRow[]): void {
    const found = new Map<number, number>();
    const present = new Set<number>();
    for (const lease of leases) {
      const number = prefixNumber(lease);
      present.add(number);
      const other = found.get(lease.peer);
      const before = this.bearers.get(lease.peer);
      if (other === undefined || number === before || (other !== before && number < other)) {
        found.set(lease.peer, number);
      }
    }
    this.addresses.clear();
    for (const address of this.bearers.keys()) {
      if (!found.has(address)) this.bearers.delete(address);
    }
    for (const [address, lease] of found) {
      this.bearers.set(address, lease);
      this.addresses.set(lease, address);
    }
    for (const address of this.seen.keys()) {
      if (!found.has(address) && this.read(address) === undefined) this.seen.delete(address);
    }
    for (const lease of this.rows.keys()) if (!present.has(lease)) this.rows.delete(lease);
  }

  private settle(address: number): void {
    const lease = this.bearers.get(address);
    const traffic = this.read(address);
    if (lease === undefined || traffic === undefined) return;
    const row = this.rows.get(lease) ?? zero();
    const seen = this.seen.get(address) ?? zero();
    for (const name of COUNTS) {
      const added = traffic[name] - seen[name];
      // Less than before is an account that was taken away and given again: all of it is new.
      row[name] += added < 0 ? traffic[name] : added;
      seen[name] = traffic[name];
    }
    this.rows.set(lease, row);
    this.seen.set(address, seen);
  }
}

const zero = (): Counts => ({
  ...{ txPackets: 0, txBytes: 0, txDrops: 0 },
  ...{ rxPackets: 0, rxBytes: 0, rxDrops: 0 },
});
