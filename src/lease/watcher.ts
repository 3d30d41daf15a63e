import { LIMITS, type Parsed } from '../untrusted/json.ts';
import { formatAddress4, type Prefix4 } from '../wire/address.ts';
import type { AdmissionRules, RefusalReason } from './admission.ts';
import { isRefusal, judge, noRefusals, whyBad } from './admission.ts';
import type { Attributes, Lease, Subnets } from './lease.ts';
import { parseLeaseValue, parseSubnetKey, sameLease } from './lease.ts';
import type { LeaseChange, LeaseEntry } from './source.ts';

/** One row for `forwarding/compile`: packets to `network`/`length` go to the node at `peer`. */
export interface PeerRow {
  readonly network: number;
  readonly length: number;
  /** The node's PublicIP, a host-order uint32; 0 in a change that leaves the subnet without one. */
  readonly peer: number;
}

/** An entry that is no peer, in words for the status page. */
export interface Refusal {
  readonly key: string;
  readonly reason: RefusalReason;
  readonly detail: string;
}

export interface WatcherCounts {
  /** Entries that are peers now. */
  readonly peers: number;
  /** Entries refused now, by reason. */
  readonly refused: Readonly<Record<RefusalReason, number>>;
  /** Since start: what the source said, and how many puts and deletes left all as it was. */
  readonly events: Readonly<Record<'put' | 'delete' | 'snapshot' | 'ignored', number>>;
}

/**
 * Whose the subnet of the rules' `own` is, by what the source says: this node's, another's (with
 * its PublicIP), or nobody's that could be read.
 */
export type OwnStanding =
  | { readonly kind: 'own' | 'unclaimed' }
  | { readonly kind: 'foreign'; readonly publicAddress: number };

interface Entry {
  readonly key: string;
  readonly claim: Claim;
  /** The last good value under this key; null if there was none yet. */
  lease: Lease | null;
  order: number;
  /** Why the latest value could not be read, else the empty string. */
  fault: string;
  verdict: 'peer' | 'own' | RefusalReason | null;
}

/** All entries of one IPv4 subnet, nearly always one; at most one of them is the peer. */
interface Claim {
  readonly id: number;
  entries: Entry[];
  peer: Lease | null;
}

/** Whether anything is different now, and whether the peers' leases are. */
interface Effect {
  readonly any: boolean;
  readonly peers: boolean;
}

/** 64 lengths a network: a number as key costs less than text, and stays far below 2^53. */
const LENGTHS = 64;

const NOTHING: Effect = { any: false, peers: false };

/**
 * Turns what a source says into the peers there are. Pure: no clock, no line, no log. After any
 * history the peers depend only on the last good value of each present key and on the rules.
 *
 * A value that cannot be read does not replace a good one before it: the key still stands, so its
 * owner still holds the subnet, and the last readable address is the best word on where it is. It
 * is counted as `bad_value` until a good value, or the delete, comes. A value that *can* be read
 * and must be refused does replace it: its owner has said that it is no longer there.
 */
export class LeaseWatcher {
  #rules: AdmissionRules;
  readonly #entries = new Map<string, Entry>();
  readonly #claims = new Map<number, Claim>();
  /** Claims whose peer changed since that was last asked for, by their id. */
  readonly #changed = new Set<number>();
  readonly #badKeys = new Map<string, string>();
  readonly #refused = noRefusals();
  readonly #events = { put: 0, delete: 0, snapshot: 0, ignored: 0 };
  readonly #mostEntries: number;
  #peers = 0;

  /** @param mostEntries that are kept, bad ones too; others are passed over */
  constructor(rules: AdmissionRules, mostEntries: number = LIMITS.leases) {
    this.#rules = rules;
    this.#mostEntries = mostEntries;
  }

  /** Takes a whole list; what it lacks is gone. True if the peers' leases changed. */
  snapshot(entries: readonly LeaseEntry[]): boolean {
    this.#events.snapshot += 1;
    const present = new Set(entries.map((entry) => entry.key));
    let changed = false;
    for (const key of [...this.#entries.keys(), ...this.#badKeys.keys()]) {
      if (!present.has(key)) changed = this.#remove(key).peers || changed;
    }
    for (const entry of entries) changed = this.#put(entry).peers || changed;
    return changed;
  }

  /** Takes events in their order. True if the peers' leases changed. */
  changes(changes: readonly LeaseChange[]): boolean {
    let changed = false;
    for (const change of changes) {
      this.#events[change.kind] += 1;
      const effect = change.kind === 'put' ? this.#put(change.entry) : this.#remove(change.key);
      if (!effect.any) this.#events.ignored += 1;
      changed = effect.peers || changed;
    }
    return changed;
  }

  /** Judges every entry by new rules (own lease acquired or moved). True if the peers changed. */
  configure(rules: AdmissionRules): boolean {
    this.#rules = rules;
    let changed = false;
    for (const claim of this.#claims.values()) changed = this.#judge(claim) || changed;
    return changed;
  }

  /** The peers as rows for the table, in no stated order; no two rows share a prefix. */
  rows(): PeerRow[] {
    return this.leases().map(({ subnet, publicAddress }) => {
      return { network: subnet.network, length: subnet.length, peer: publicAddress };
    });
  }

  /** Subnets whose peer's lease may be another than at the last call, each as it is now. */
  takeChanges(): PeerRow[] {
    const rows = Array.from(this.#changed, (id): PeerRow => {
      const peer = this.#claims.get(id)?.peer?.publicAddress ?? 0;
      return { network: Math.floor(id / LENGTHS), length: id % LENGTHS, peer };
    });
    this.#changed.clear();
    return rows;
  }

  /** The peers' leases, in no stated order. */
  leases(): Lease[] {
    const leases: Lease[] = [];
    for (const { peer } of this.#claims.values()) if (peer !== null) leases.push(peer);
    return leases;
  }

  /** Whose the own subnet is; without one, nobody's. */
  standing(): OwnStanding {
    const { own } = this.#rules;
    const entries = own === null ? [] : (this.#claims.get(claimId(own.subnet))?.entries ?? []);
    let newest: Entry | null = null;
    for (const entry of entries) {
      if (entry.verdict === 'own') return { kind: 'own' };
      // A value without PublicIP names no node.
      if (entry.lease === null || entry.lease.publicAddress === 0) continue;
      if (newest === null || newer(entry, newest)) newest = entry;
    }
    if (newest === null) return { kind: 'unclaimed' };
    return { kind: 'foreign', publicAddress: newest.lease!.publicAddress };
  }

  /**
   * What is refused now, at most `limit` of it.
   * @param counts which reasons are asked for; all of them where it is left out
   */
  refusals(limit: number, counts: (reason: RefusalReason) => boolean = () => true): Refusal[] {
    const found: Refusal[] = [];
    for (const [key, detail] of counts('bad_key') ? this.#badKeys : []) {
      if (found.length >= limit) return found;
      found.push({ key, reason: 'bad_key', detail });
    }
    for (const { key, fault, verdict, lease } of this.#entries.values()) {
      if (found.length >= limit) return found;
      const reason = fault !== '' ? 'bad_value' : verdict;
      if (!isRefusal(reason) || !counts(reason)) continue;
      found.push({ key, reason, detail: fault || this.#explain(lease, reason) });
    }
    return found;
  }

  #explain(lease: Lease | null, reason: RefusalReason): string {
    if (reason === 'bad_value') return 'weft cannot handle it (please report it)';
    if (lease === null || reason !== 'bad_public_address') return '';
    return `PublicIP ${formatAddress4(lease.publicAddress)} ${whyBad(lease, this.#rules)}`;
  }

  counts(): WatcherCounts {
    const refused = { ...this.#refused, bad_key: this.#badKeys.size };
    return { peers: this.#peers, refused, events: { ...this.#events } };
  }

  #put({ key, value, order, fault: unread }: LeaseEntry): Effect {
    const known = this.#entries.get(key);
    // What is known goes on; the source tells that there are too many.
    if (known === undefined && this.#isFull(key)) return NOTHING;
    const subnets = parseSubnetKey(key);
    if (!subnets.ok) {
      const news = !this.#badKeys.has(key);
      this.#badKeys.set(key, subnets.reason);
      return { any: news, peers: false };
    }
    const entry = known ?? this.#enter(key, subnets.value);
    const attributes: Parsed<Attributes> =
      unread === undefined ? parseLeaseValue(value) : { ok: false, reason: unread };
    const lease = attributes.ok
      ? { key, ...subnets.value, ...this.#kept(attributes.value) }
      : entry.lease;
    const fault = attributes.ok ? '' : attributes.reason;
    const any = known === undefined || fault !== entry.fault || !sameLease(lease, entry.lease);
    entry.order = order;
    if (any) entry.lease = lease;
    this.#setFault(entry, fault);
    return { any, peers: this.#judge(entry.claim) };
  }

  #isFull(key: string): boolean {
    const count = this.#entries.size + this.#badKeys.size;
    return count >= this.#mostEntries && !this.#badKeys.has(key);
  }

  /** What is kept of a value: all of it, or all but what only other backends read. */
  #kept({ backendData, backendData6, ...rest }: Attributes): Attributes {
    if (this.#rules.keepsBackendData !== true) return rest;
    return {
      ...rest,
      ...(backendData !== undefined && { backendData }),
      ...(backendData6 !== undefined && { backendData6 }),
    };
  }

  #remove(key: string): Effect {
    if (this.#badKeys.delete(key)) return { any: true, peers: false };
    const entry = this.#entries.get(key);
    if (entry === undefined) return NOTHING;
    this.#entries.delete(key);
    this.#setFault(entry, '');
    this.#setVerdict(entry, null);
    entry.claim.entries = entry.claim.entries.filter((other) => other !== entry);
    return { any: true, peers: this.#judge(entry.claim) };
  }

  #enter(key: string, { subnet }: Subnets): Entry {
    const id = claimId(subnet);
    const claim = this.#claims.get(id) ?? { id, entries: [], peer: null };
    this.#claims.set(id, claim);
    const entry: Entry = { key, claim, lease: null, order: 0, fault: '', verdict: null };
    claim.entries.push(entry);
    this.#entries.set(key, entry);
    return entry;
  }

  /** Settles who is the peer of one subnet. True if that, or its lease, changed. */
  #judge(claim: Claim): boolean {
    let best: Entry | null = null;
    for (const entry of claim.entries) {
      const verdict = entry.lease === null ? null : this.#verdictOn(entry.lease);
      this.#setVerdict(entry, verdict === 'peer' ? 'duplicate_subnet' : verdict);
      if (verdict === 'peer' && (best === null || newer(entry, best))) best = entry;
    }
    if (best !== null) this.#setVerdict(best, 'peer');
    if (claim.entries.length === 0) this.#claims.delete(claim.id);
    const peer = best === null ? null : best.lease;
    if (sameLease(peer, claim.peer)) return false;
    claim.peer = peer;
    this.#changed.add(claim.id);
    return true;
  }

  /** A lease that no judge can deal with is a bad one, and harms no other. */
  #verdictOn(lease: Lease): ReturnType<typeof judge> {
    try {
      return judge(lease, this.#rules);
    } catch {
      return 'bad_value';
    }
  }

  #setFault(entry: Entry, fault: string): void {
    this.#refused.bad_value += Number(fault !== '') - Number(entry.fault !== '');
    entry.fault = fault;
  }

  #setVerdict(entry: Entry, verdict: Entry['verdict']): void {
    this.#count(entry.verdict, -1);
    this.#count(verdict, 1);
    entry.verdict = verdict;
  }

  #count(verdict: Entry['verdict'], step: number): void {
    if (verdict === 'peer') this.#peers += step;
    else if (isRefusal(verdict)) this.#refused[verdict] += step;
  }
}

function claimId({ network, length }: Prefix4): number {
  return network * LENGTHS + length;
}

function newer(one: Entry, other: Entry): boolean {
  return one.order !== other.order ? one.order > other.order : one.key > other.key;
}
