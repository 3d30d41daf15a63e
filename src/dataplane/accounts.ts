/**
 * Main's side of the accounts: which account counts which peer, and what it shows. A pump adds to
 * an account by the number that stands in its table; here numbers are given out, and taken back
 * from peers that left only when there is none left to give.
 */
import * as counters from './counters.ts';

/**
 * Traffic with one peer since it was first seen; packets and bytes are inner ones, as they left or
 * as the TUN took them. What did not is a drop: the two add up to all there was.
 */
export interface PeerTraffic {
  readonly txPackets: number;
  readonly txBytes: number;
  readonly txDrops: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly rxDrops: number;
  /** Unix seconds of the last look that found a packet of the peer admitted; 0 if none did. */
  readonly lastSeenSeconds: number;
}

export interface Accounts {
  /** A new table begins, and no pump reads the one before the last any more. */
  begin(): void;
  /** The account of a peer (its public address) of this table; 0 where all are taken. */
  accountOf(peer: string): number;
  /** The peer is not in this table: it may lose its account to a peer of a later one. */
  release(peer: string): void;
  /** Undefined for an address that never was a peer, or that has no account. */
  traffic(peer: string): PeerTraffic | undefined;
  /** Notes who was heard since the last look: pumps have no clock for it. */
  look(unixSeconds: number): void;
  /** What was counted for strangers and for peers without an account. */
  others(): PeerTraffic;
}

interface Entry {
  readonly account: number;
  /** What the account had counted for its earlier owner. */
  readonly before: PeerTraffic;
  heard: number;
  lastSeenSeconds: number;
}

const NOTHING: PeerTraffic = Object.freeze({
  ...{ txPackets: 0, txBytes: 0, txDrops: 0 },
  ...{ rxPackets: 0, rxBytes: 0, rxDrops: 0, lastSeenSeconds: 0 },
});

/**
 * @param shared ACCOUNT_BLOCK doubles of each pump: first all out pumps', then all in pumps'
 * @param capacity accounts there are, number 0 included
 */
export function createAccounts(
  shared: SharedArrayBuffer,
  workers: number,
  capacity = counters.ACCOUNTS,
): Accounts {
  const values = new Float64Array(shared);
  const entries = new Map<string, Entry>();
  /** Peers that left, the longest gone first, with the first table that is without them. */
  const gone = new Map<string, number>();
  let next = 1;
  let table = 0;

  function sum(account: number, slot: number, firstPump: number): number {
    let total = 0;
    for (let pump = firstPump; pump < firstPump + workers; pump++) {
      total += values[pump * counters.ACCOUNT_BLOCK + account * counters.ACCOUNT_SLOTS + slot]!;
    }
    return total;
  }

  function read(account: number, before: PeerTraffic, lastSeenSeconds = 0): PeerTraffic {
    const { ACCOUNT_PACKETS, ACCOUNT_BYTES, ACCOUNT_DROPS } = counters;
    return {
      txPackets: sum(account, ACCOUNT_PACKETS, 0) - before.txPackets,
      txBytes: sum(account, ACCOUNT_BYTES, 0) - before.txBytes,
      txDrops: sum(account, ACCOUNT_DROPS, 0) - before.txDrops,
      rxPackets: sum(account, ACCOUNT_PACKETS, workers) - before.rxPackets,
      rxBytes: sum(account, ACCOUNT_BYTES, workers) - before.rxBytes,
      rxDrops: sum(account, ACCOUNT_DROPS, workers) - before.rxDrops,
      lastSeenSeconds,
    };
  }

  /** A peer gone since this very table is safe: pumps still look into the one before. */
  function take(): number | undefined {
    if (next < capacity) return next++;
    for (const [peer, since] of gone) {
      if (since === table) return undefined;
      const { account } = entries.get(peer)!;
      entries.delete(peer);
      gone.delete(peer);
      return account;
    }
    return undefined;
  }

  return {
    begin() {
      table++;
    },
    accountOf(peer) {
      const known = entries.get(peer);
      if (known !== undefined) {
        gone.delete(peer);
        return known.account;
      }
      const account = take();
      if (account === undefined) return 0;
      const heard = sum(account, counters.ACCOUNT_ADMITTED, workers);
      const before = read(account, NOTHING);
      entries.set(peer, { account, before, heard, lastSeenSeconds: 0 });
      return account;
    },
    release(peer) {
      if (entries.has(peer) && !gone.has(peer)) gone.set(peer, table);
    },
    traffic(peer) {
      const entry = entries.get(peer);
      if (entry === undefined) return undefined;
      return read(entry.account, entry.before, entry.lastSeenSeconds);
    },
    look(unixSeconds) {
      for (const entry of entries.values()) {
        const heard = sum(entry.account, counters.ACCOUNT_ADMITTED, workers);
        if (heard === entry.heard) continue;
        entry.heard = heard;
        entry.lastSeenSeconds = unixSeconds;
      }
    },
    others: () => read(0, NOTHING),
  };
}
