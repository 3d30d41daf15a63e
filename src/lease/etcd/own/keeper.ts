import type { Logger } from 'pino';
import type { Attributes } from '../../lease.ts';
import { formatLeaseValue } from '../../lease.ts';
import type { LeaseEvents, LeaseKeeper, LeaseKeeperStatus, LeaseWish } from '../../registry.ts';
import type { LeaseChange } from '../../source.ts';
import type { EtcdKey, EtcdLine } from '../client.ts';
import type { EtcdError } from '../errors.ts';
import { useLines } from '../lines.ts';
import type { EtcdSettings } from '../options.ts';
import { extendLease, Grants, replaceKey } from '../writes.ts';
import { Announcer } from './announcer.ts';
import { type Claimed, type ClaimWish, claim, createLease, FOR_EVER, type Held } from './claim.ts';
import { explainForeign, Holding } from './holding.ts';
import type { Previous } from './plan.ts';
import { ownLeases, sameAttributes } from './plan.ts';
import { Vigil } from './vigil.ts';

/** flannel's: a day. */
const TIME_TO_LIVE_SECONDS = 86_400;

/** How long an end waits for a write under way, before it leaves its etcd lease to run out. */
const LAST_WRITE_MS = 2_000;

/** Nodes that wait for the same subnet do not all ask for it at once. */
const SCATTER_MS = 500;

/** A strange value is shown no longer than this. */
const SHOWN_LETTERS = 500;

/** What a watch of the key said: its new content, or null for a delete. */
interface News {
  readonly found: EtcdKey | null;
  readonly revision: number;
}

/**
 * Claims a lease and keeps it, over line after line. On each line it first makes sure whose the key
 * is, then watches it and does what is due: extend the etcd lease, the same one, so that peers see
 * no write; publish what has changed. Everything is timed by the monotonic clock.
 */
export class EtcdKeeper implements LeaseKeeper {
  readonly #settings: EtcdSettings;
  readonly #wish: LeaseWish;
  readonly #log: Logger;
  readonly #announcer: Announcer;
  readonly #grants: Grants;
  readonly #misfits = new Set<string>();
  readonly #vigil = new Vigil();
  /** Gives up what is under way. */
  readonly #ended = new AbortController();
  readonly #running: Promise<unknown>;
  #attributes: Attributes;
  #previous: Previous;
  #holding: Holding | null = null;
  #isWriting = false;

  constructor(settings: EtcdSettings, wish: LeaseWish, events: LeaseEvents, log: Logger) {
    this.#settings = settings;
    this.#wish = wish;
    this.#log = log;
    this.#announcer = new Announcer(settings.name, events, log);
    this.#attributes = wish.attributes;
    this.#previous = { subnet: wish.previous, subnet6: wish.previous6 };
    this.#grants = new Grants(wish.timeToLiveSeconds ?? TIME_TO_LIVE_SECONDS);
    const attend = (line: EtcdLine) => this.#attend(line);
    const failed = (error: EtcdError) =>
      this.#announcer.failed(error, this.#holding?.held, performance.now());
    this.#running = useLines(settings, this.#ended.signal, attend, failed);
  }

  status(): LeaseKeeperStatus {
    const held = this.#holding?.held;
    const reservation = held?.leaseId === FOR_EVER;
    const isTimed = held !== undefined && !reservation;
    return {
      lease: held?.lease ?? null,
      secondsLeft: isTimed ? (held.ends - performance.now()) / 1000 : null,
      reservation,
      ...this.#announcer.counts,
      trouble: this.#announcer.trouble,
    };
  }

  republish(attributes: Attributes): void {
    if (sameAttributes(attributes, this.#attributes)) return;
    this.#attributes = attributes;
    this.#holding?.change(attributes);
    this.#vigil.wake();
  }

  async stop(): Promise<void> {
    this.#announcer.silence();
    this.#vigil.end();
    // A claim under way may still make an etcd lease that nobody would end.
    if (!this.#isWriting) this.#ended.abort();
    const timer = setTimeout(() => this.#ended.abort(), LAST_WRITE_MS);
    await this.#running;
    clearTimeout(timer);
  }

  /** One line from its login to its failure, or to the end of all. */
  async #attend(line: EtcdLine): Promise<void> {
    while (!this.#vigil.isOver) {
      if (this.#holding !== null) await this.#verify(line, this.#holding);
      else await this.#claim(line);
      if (this.#holding !== null) await this.#tend(line, this.#holding);
    }
  }

  async #claim(line: EtcdLine): Promise<void> {
    const claimed = await this.#write(line, () => claim(line, this.#claimWish()));
    if (claimed.kind === 'full') return this.#waitForSubnet(line, claimed);
    this.#hold(claimed.held);
    this.#announcer.held(claimed.held);
  }

  #hold(held: Held): void {
    const marginMs = this.#wish.renewMarginMinutes * 60_000;
    const { backoffLeast } = this.#settings.timing;
    this.#holding = new Holding(held, this.#attributes, marginMs, backoffLeast);
    this.#previous = { subnet: held.lease.subnet, subnet6: held.lease.subnet6 };
  }

  #claimWish(): ClaimWish {
    return {
      folder: this.#settings.leaseFolder,
      network: this.#wish.network,
      attributes: this.#attributes,
      previous: this.#previous,
      grants: this.#grants,
      log: this.#log,
      misfits: this.#misfits,
    };
  }

  /** Work that may leave an etcd lease behind if it is cut off. */
  async #write<T>(line: EtcdLine, work: () => Promise<T>): Promise<T> {
    this.#isWriting = true;
    try {
      return await work();
    } finally {
      if (this.#vigil.isOver) {
        await this.#grants.giveUp(line);
        this.#ended.abort();
      }
      this.#isWriting = false;
    }
  }

  /** All is leased: waits until a subnet is free, is put down for us, or we are somebody else. */
  async #waitForSubnet(line: EtcdLine, full: Claimed & { kind: 'full' }): Promise<void> {
    this.#announcer.full(full.reason);
    const attributes = this.#attributes;
    let isFreed = false;
    const isDone = () => isFreed || attributes !== this.#attributes;
    const isOurs = (change: LeaseChange) =>
      change.kind === 'delete' || ownLeases([change.entry], attributes.publicAddress).length > 0;
    const changes = (told: readonly LeaseChange[]) => {
      isFreed ||= told.some(isOurs);
      this.#vigil.wake();
    };
    await this.#vigil.watching(
      (signal) => {
        const sink = { created: () => undefined, changes, signal };
        return line.watch(this.#settings.leaseFolder, full.revision, sink);
      },
      async () => {
        if (!isDone()) await this.#vigil.sleep(Number.POSITIVE_INFINITY);
        return !isDone();
      },
    );
    await this.#vigil.sleep(Math.random() * SCATTER_MS);
  }

  /** Whose the key is that we held on the line before; it is extended where it is still ours. */
  async #verify(line: EtcdLine, holding: Holding): Promise<void> {
    const { found, revision } = await line.read(this.#keyOf(holding));
    if (found === null) await this.#takeAgain(line, holding);
    else if (this.#take(holding, found, revision)) await this.#extend(line, holding);
  }

  /**
   * The key is gone. If it ran out while etcd was away and nobody came, it is taken again with no
   * more than a word; if it went before its time, somebody deleted it.
   */
  async #takeAgain(line: EtcdLine, holding: Holding): Promise<void> {
    const { lease } = holding.held;
    if (!holding.isOver(performance.now())) return this.#lose(holding, 'its key was deleted');
    const held = await this.#write(line, () => createLease(line, this.#claimWish(), lease));
    if (held === null) return this.#lose(holding, 'it ran out, and another node has the subnet');
    this.#log.warn(
      { key: lease.key },
      'the lease had run out; nobody took it, so it is ours again',
    );
    this.#hold(held);
    this.#announcer.well();
  }

  /** Watches the key and does what is due, until the key is lost; trouble is thrown. */
  async #tend(line: EtcdLine, holding: Holding): Promise<void> {
    const news: News[] = [];
    const changed = (found: EtcdKey | null, revision: number) => {
      news.push({ found, revision });
      this.#vigil.wake();
    };
    await this.#vigil.watching(
      (signal) => line.watchKey(this.#keyOf(holding), holding.held.asOf, { changed, signal }),
      async () => {
        const next = news.shift();
        if (next !== undefined) this.#hear(holding, next);
        else await this.#doWhatIsDue(line, holding);
        return this.#holding === holding;
      },
    );
  }

  async #doWhatIsDue(line: EtcdLine, holding: Holding): Promise<void> {
    const due = holding.due(performance.now());
    if (due.kind === 'wait') return this.#vigil.sleep(due.milliseconds);
    // A login may have run out since the last call, hours ago.
    await line.login();
    if (due.kind === 'publish') await this.#publish(line, holding);
    else await this.#extend(line, holding);
  }

  #hear(holding: Holding, { found, revision }: News): void {
    const { held } = holding;
    // Our own writes, and what was before them.
    if (revision <= held.revision) return;
    if (found === null) {
      const isOver = holding.isOver(performance.now());
      this.#lose(holding, isOver ? 'it ran out' : 'its key was deleted');
    } else if (this.#take(holding, found, revision) && found.lease !== held.leaseId) {
      this.#tellOther(held, found.lease);
    }
  }

  /** The key still names this node, but somebody else wrote it with another etcd lease. */
  #tellOther({ lease: { key }, leaseId }: Held, now: string): void {
    if (now === FOR_EVER || leaseId === FOR_EVER) {
      const made = now === FOR_EVER ? 'a reservation' : 'a lease that runs out';
      this.#log.info({ key }, `somebody made the key of this node ${made}`);
      return;
    }
    this.#log.warn(
      { key },
      'another agent keeps the key of this node, too: is a second one running here, or is its ' +
        'PublicIP given to two nodes?',
    );
  }

  /** Takes over what the key says now; false, and the lease is lost, if it names another node. */
  #take(holding: Holding, found: EtcdKey, asOf: number): boolean {
    const verdict = holding.take(found, asOf, performance.now());
    if (verdict.kind === 'foreign') this.#lose(holding, explainForeign(verdict.publicAddress));
    if (verdict.kind === 'overwritten') {
      const shown = found.value.slice(0, SHOWN_LETTERS);
      this.#log.warn(
        { key: holding.held.lease.key, found: shown, pauseMs: verdict.pauseMs },
        'the key of this node holds words that are not ours; ours are put back. Is its PublicIP ' +
          'given to two nodes?',
      );
    }
    return verdict.kind !== 'foreign';
  }

  async #publish(line: EtcdLine, holding: Holding): Promise<void> {
    const { leaseId, revision } = holding.held;
    const lease = holding.publishing();
    const content = { value: formatLeaseValue(lease), lease: leaseId };
    const written = await replaceKey(line, this.#keyOf(holding), revision, content);
    if (written === null) return holding.refused(performance.now());
    holding.published(lease, written);
    this.#log.info({ key: lease.key }, `published in the lease: ${content.value}`);
  }

  async #extend(line: EtcdLine, holding: Holding): Promise<void> {
    const { leaseId } = holding.held;
    if (leaseId !== FOR_EVER) {
      const asked = performance.now();
      const seconds = await extendLease(line, leaseId, this.#settings.timing.call);
      // The key goes with its etcd lease: a new line, and a new look at the key.
      if (seconds <= 0) throw line.error('no_lease', 'no longer has the lease of this node');
      holding.renewed(asked + seconds * 1000, seconds);
      this.#announcer.counts.renewals += 1;
    }
    this.#announcer.well();
  }

  #lose(holding: Holding, reason: string): void {
    this.#holding = null;
    this.#announcer.lost(holding.held.lease, reason);
  }

  #keyOf(holding: Holding): string {
    return this.#settings.leaseFolder + holding.held.lease.key;
  }
}
