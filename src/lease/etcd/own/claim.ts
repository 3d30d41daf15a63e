import type { Logger } from 'pino';
import { formatAddress4 } from '../../../wire/address.ts';
import type { Attributes, Lease, Subnets } from '../../lease.ts';
import { formatLeaseValue, formatSubnetKey } from '../../lease.ts';
import type { NetworkConfig } from '../../network.ts';
import type { LeaseEntry } from '../../source.ts';
import type { EtcdLine, EtcdReading } from '../client.ts';
import { EtcdError } from '../errors.ts';
import { createKey, deleteKey, type Grants, replaceKey } from '../writes.ts';
import type { Previous } from './plan.ts';
import { explainShortage, fits, ownLeases, pickSubnets, sameAttributes } from './plan.ts';

/** A key that is ours, and what etcd said of it last. */
export interface Held {
  readonly lease: Lease;
  /** The etcd lease it goes with; "0" for a reservation. */
  readonly leaseId: string;
  /** Revision of the key's latest write that we know of. */
  readonly revision: number;
  /** Revision of the store at which all this was so: later than the write, and not compacted. */
  readonly asOf: number;
  /** When it runs out, on the clock of performance.now(); Infinity for a reservation. */
  readonly ends: number;
  /** How long it lasts when it begins or is extended. */
  readonly seconds: number;
}

/** What a claim needs to know. */
export interface ClaimWish {
  /** Where leases lie, with the slash at its end. */
  readonly folder: string;
  readonly network: NetworkConfig;
  readonly attributes: Attributes;
  readonly previous: Previous;
  readonly grants: Grants;
  readonly log: Logger;
  /** Keys told of already, filled here. */
  readonly misfits: Set<string>;
}

export type Claimed =
  | { readonly kind: 'held'; readonly held: Held }
  /** As of the revision; it may be otherwise after the next delete. */
  | { readonly kind: 'full'; readonly reason: string; readonly revision: string };

/** No etcd lease: the key stays until somebody deletes it. */
export const FOR_EVER = '0';

const WITHOUT_END = { ends: Number.POSITIVE_INFINITY, seconds: Number.POSITIVE_INFINITY };

/** How often somebody may be faster before the line is given up for a pause; flannel's number. */
const RACES = 10;

/**
 * Gets a subnet as flannel does: the node's own lease if it fits, else the previous subnet if it is
 * free, else a free one by chance. What others do meanwhile makes it look again, never fail.
 */
export async function claim(line: EtcdLine, wish: ClaimWish): Promise<Claimed> {
  for (let race = 0; race < RACES; race++) {
    const { entries, revision } = await line.list(wish.folder);
    const own = await settleOwn(line, wish, entries);
    if (own === 'changed') continue;
    if (own !== undefined) return { kind: 'held', held: own };
    const subnets = pickSubnets(entries, wish.network, wish.previous);
    if (subnets === undefined) {
      await wish.grants.giveUp(line);
      return { kind: 'full', reason: explainShortage(wish.network, entries.length), revision };
    }
    const held = await createLease(line, wish, subnets);
    if (held !== null) return { kind: 'held', held };
  }
  await wish.grants.giveUp(line);
  throw new EtcdError('contended', `lost the race for a subnet to other nodes ${RACES} times`);
}

/** Writes a lease for subnets that nobody held; null where somebody was faster. */
export async function createLease(
  line: EtcdLine,
  { folder, attributes, grants }: ClaimWish,
  { subnet, subnet6 }: Subnets,
): Promise<Held | null> {
  const subnets = { subnet, ...(subnet6 !== undefined && { subnet6 }) };
  const key = formatSubnetKey(subnets);
  // With IPv6 the key has a second part, chosen apart: the first alone must be nobody's.
  const guard = folder + formatSubnetKey({ subnet });
  const { id, ends, seconds } = await grants.take(line);
  const content = { value: formatLeaseValue(attributes), lease: id };
  const revision = await createKey(line, folder + key, guard, content);
  if (revision === null) return null;
  grants.used();
  const lease = { key, ...subnets, ...attributes };
  return { lease, leaseId: id, revision, asOf: revision, ends, seconds };
}

/** Takes the first lease that is ours and fits; one that does not fit is deleted on the way. */
async function settleOwn(
  line: EtcdLine,
  wish: ClaimWish,
  entries: readonly LeaseEntry[],
): Promise<Held | 'changed' | undefined> {
  for (const { key } of ownLeases(entries, wish.attributes.publicAddress)) {
    const reading = await line.read(wish.folder + key);
    const { found } = reading;
    const now = found === null ? [] : [{ key, value: found.value, order: found.revision }];
    const [lease] = ownLeases(now, wish.attributes.publicAddress);
    if (found === null || lease === undefined) return 'changed';
    if (fits(lease, wish.network)) return (await reuse(line, wish, lease, reading)) ?? 'changed';
    if (found.lease !== FOR_EVER) {
      if (await deleteKey(line, wish.folder + key, found.revision))
        tellMisfit(wish, key, 'deleted');
      return 'changed';
    }
    tellMisfit(wish, key, 'it is a reservation, so it stays');
  }
  return undefined;
}

/** Makes an own lease say what we are now, for another full time; null where it has changed. */
async function reuse(
  line: EtcdLine,
  { folder, attributes, grants }: ClaimWish,
  { key, subnet, subnet6, ...old }: Lease,
  { found, revision: asOf }: EtcdReading,
): Promise<Held | null> {
  if (found === null) return null;
  const lease = { key, subnet, ...(subnet6 !== undefined && { subnet6 }), ...attributes };
  const isReserved = found.lease === FOR_EVER;
  if (isReserved && sameAttributes(old, attributes)) {
    return { lease, leaseId: FOR_EVER, revision: found.revision, asOf, ...WITHOUT_END };
  }
  const { id, ends, seconds } = isReserved
    ? { id: FOR_EVER, ...WITHOUT_END }
    : await grants.take(line, found.lease);
  const content = { value: formatLeaseValue(attributes), lease: id };
  const revision = await replaceKey(line, folder + key, found.revision, content);
  if (revision === null) return null;
  if (!isReserved) grants.used();
  return { lease, leaseId: id, revision, asOf: revision, ends, seconds };
}

function tellMisfit({ log, attributes, misfits }: ClaimWish, key: string, outcome: string): void {
  if (misfits.has(key)) return;
  misfits.add(key);
  const publicAddress = formatAddress4(attributes.publicAddress);
  const what = 'a lease of this node does not fit the network config';
  log.warn({ key, publicAddress }, `${what}: ${outcome}`);
}
