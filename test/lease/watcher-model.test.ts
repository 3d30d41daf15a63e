import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AdmissionRules } from '../../src/lease/admission.ts';
import type { LeaseChange, LeaseEntry } from '../../src/lease/source.ts';
import { LeaseWatcher } from '../../src/lease/watcher.ts';
import { formatAddress4, parseAddress4, parsePrefix4 } from '../../src/wire/address.ts';
import { createRandom, type Random, runSeed } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';

/**
 * The watcher against a map. A store in memory with etcd's habits (revisions, a history that is
 * compacted, expiry) is changed at random; a line to it follows by list and watch, breaks, and
 * comes back, while the model keeps nothing but the store's map and each key's last good value.
 * Steps: 10^6, or TEST_MODEL_STEPS.
 */
const STEPS = Number(process.env.TEST_MODEL_STEPS ?? rounds(1_000_000));

/** Few keys, so that every kind of meeting happens often; among them bad ones and double claims. */
const KEYS = [
  ...Array.from({ length: 12 }, (_, i) => `10.244.${i}.0-24`),
  ...['10.244.1.0-24&fd00:1::-64', '10.244.2.0-24&fd00:2::-64', '10.244.16.0-20'],
  ...['10.244.3.128-25', '10.9.9.0-24', 'bad', '10.244.1.7-24', 'deeper/10.244.1.0-24'],
];
const ADDRESSES = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4', '192.0.2.5', '192.0.2.6'];
const UNUSABLE = ['0.0.0.0', '127.0.0.1', '224.0.0.9', '255.255.255.255'];
const UNREADABLE = ['', 'x', '{"PublicIP":', 'null', '{"PublicIP":"192.0.2.256"}'];
const OWN = { subnet: '10.244.3.0/24', address: '192.0.2.3' };

const RULES: AdmissionRules = {
  network: parsePrefix4('10.244.0.0/16')!,
  own: { subnet: parsePrefix4(OWN.subnet)!, publicAddress: parseAddress4(OWN.address)! },
  reachable: (type) => type === '' || type === 'udp',
};

interface Stored {
  readonly value: string;
  readonly order: number;
}

/** A store as etcd is seen from a watch. */
class Store {
  readonly now = new Map<string, Stored>();
  revision = 0;
  /** Events after `compacted`, oldest first. */
  history: { revision: number; change: LeaseChange }[] = [];
  compacted = 0;

  put(key: string, value: string): void {
    this.revision += 1;
    this.now.set(key, { value, order: this.revision });
    const entry = { key, value, order: this.revision };
    this.history.push({ revision: this.revision, change: { kind: 'put', entry } });
  }

  delete(key: string): void {
    if (!this.now.delete(key)) return;
    this.revision += 1;
    this.history.push({ revision: this.revision, change: { kind: 'delete', key } });
  }

  compact(): void {
    this.compacted = this.revision;
    this.history = [];
  }

  list(): LeaseEntry[] {
    return [...this.now].map(([key, { value, order }]) => ({ key, value, order }));
  }
}

/** A peer as the plainest reading of the rules has it: recomputed whole, each time. */
function expectedRows(seen: Map<string, Stored>, good: Map<string, string>): string[] {
  const claims = new Map<string, { key: string; order: number; row: string }>();
  for (const [key, { order }] of seen) {
    const match = /^(10\.244\.\d+\.(?:0|128))-(\d+)(?:&.*)?$/.exec(key);
    const value = good.get(key);
    if (match === null || value === undefined) continue;
    const { PublicIP, BackendType = '' } = JSON.parse(value) as Record<string, string>;
    const prefix = `${match[1]}/${match[2]}`;
    if (prefix.startsWith('10.244.3.')) continue;
    if (!['', 'udp'].includes(BackendType) || UNUSABLE.includes(PublicIP!)) continue;
    if (PublicIP === OWN.address) continue;
    const rival = claims.get(prefix);
    if (rival !== undefined && rival.order > order) continue;
    claims.set(prefix, { key, order, row: `${prefix} ${PublicIP}` });
  }
  return [...claims.values()].map(({ row }) => row).sort();
}

function actualRows(watcher: LeaseWatcher): string[] {
  return watcher
    .rows()
    .map(({ network, length, peer }) => {
      return `${formatAddress4(network)}/${length} ${formatAddress4(peer)}`;
    })
    .sort();
}

function anyValue(random: Random): string {
  if (random.oneIn(8)) return random.pick(UNREADABLE);
  const BackendType = random.pick([undefined, undefined, 'udp', 'vxlan']);
  const PublicIP = random.oneIn(10) ? random.pick(UNUSABLE) : random.pick(ADDRESSES);
  return JSON.stringify({ PublicIP, BackendType });
}

/** The store, the line to it, and what the model knows of the watcher's end of the line. */
class World {
  readonly store = new Store();
  readonly watcher = new LeaseWatcher(RULES);
  readonly #random: Random;
  /** The store as of the last thing delivered, and the last good value of each key in it. */
  readonly #seen = new Map<string, Stored>();
  readonly #good = new Map<string, string>();
  #rows: string[] = [];
  /** The rows by subnet, as one has them who hears of changes alone, now and then. */
  readonly #followed = new Map<string, string>();
  #at = 0;
  #connected = false;
  done = { put: 0, delete: 0, expire: 0, compact: 0, disconnect: 0, list: 0, resume: 0 };

  constructor(random: Random) {
    this.#random = random;
  }

  step(): void {
    const random = this.#random;
    const dice = random.below(100);
    if (dice < 50) this.#store('put', () => this.store.put(random.pick(KEYS), anyValue(random)));
    else if (dice < 70) this.#store('delete', () => this.store.delete(random.pick(KEYS)));
    else if (dice < 73) this.#store('expire', () => this.#expire());
    else if (dice < 76) this.#store('compact', () => this.store.compact());
    else if (dice < 80) this.#disconnect();
    else this.#turn();
  }

  #store(kind: keyof World['done'], change: () => void): void {
    this.done[kind] += 1;
    change();
  }

  /** A lease of several keys runs out at once, as a node's death looks. */
  #expire(): void {
    const count = this.#random.between(1, 5);
    for (let i = 0; i < count; i++) this.store.delete(this.#random.pick(KEYS));
  }

  #disconnect(): void {
    this.done.disconnect += 1;
    this.#connected = false;
  }

  /** The line gets a turn: a new list, or the events since, in batches of any size. */
  #turn(): void {
    if (!this.#connected || this.#at < this.store.compacted) {
      this.#list();
      return;
    }
    this.done.resume += 1;
    const due = this.store.history.filter(({ revision }) => revision > this.#at);
    const batch = due.slice(0, this.#random.between(1, 8));
    if (batch.length === 0) return;
    const changed = this.watcher.changes(batch.map(({ change }) => change));
    for (const { change } of batch) {
      if (change.kind === 'delete') this.#forget(change.key);
      else this.#learn(change.entry);
    }
    this.#at = batch.at(-1)!.revision;
    this.#compare(changed);
  }

  #list(): void {
    this.done.list += 1;
    const entries = this.store.list();
    const changed = this.watcher.snapshot(entries);
    const keys = new Set(entries.map(({ key }) => key));
    for (const key of [...this.#seen.keys()]) if (!keys.has(key)) this.#forget(key);
    for (const entry of entries) this.#learn(entry);
    this.#at = this.store.revision;
    this.#connected = true;
    this.#compare(changed);
  }

  #learn({ key, value, order }: LeaseEntry): void {
    this.#seen.set(key, { value, order });
    if (!UNREADABLE.includes(value)) this.#good.set(key, value);
  }

  #forget(key: string): void {
    this.#seen.delete(key);
    this.#good.delete(key);
  }

  #compare(changed: boolean): void {
    const rows = expectedRows(this.#seen, this.#good);
    assert.deepEqual(actualRows(this.watcher), rows);
    const { peers, refused } = this.watcher.counts();
    assert.equal(peers, rows.length);
    assert.ok(Object.values(refused).every((count) => count >= 0));
    const bad = [...this.#seen].filter(([key]) => /^bad|\.7-|^deeper/.test(key)).length;
    assert.equal(refused.bad_key, bad);
    // A change may be one of backend data alone, but new rows must be told.
    if (rows.join() !== this.#rows.join()) assert.ok(changed, 'the rows changed in silence');
    this.#rows = rows;
    if (this.#random.oneIn(3)) this.#followChanges(rows);
  }

  #followChanges(rows: readonly string[]): void {
    for (const { network, length, peer } of this.watcher.takeChanges()) {
      const subnet = `${formatAddress4(network)}/${length}`;
      if (peer === 0) this.#followed.delete(subnet);
      else this.#followed.set(subnet, `${subnet} ${formatAddress4(peer)}`);
    }
    assert.deepEqual(
      [...this.#followed.values()].sort(),
      rows,
      'changes do not add up to the rows',
    );
    assert.deepEqual(this.watcher.takeChanges(), []);
  }

  /** Once all is delivered, the watcher knows what the store holds. */
  settle(): void {
    this.#list();
  }
}

test(`the watcher follows a map through ${STEPS} steps`, (t) => {
  const seed = runSeed();
  t.diagnostic(`seed ${seed}`);
  const world = new World(createRandom(seed));
  let step = 0;
  try {
    for (; step < STEPS; step++) world.step();
    world.settle();
  } catch (error) {
    const repeat = `step ${step}; repeat with TEST_SEED=${seed} TEST_MODEL_STEPS=${STEPS}`;
    throw new Error(`${(error as Error).message}\n${repeat}`, { cause: error });
  }
  t.diagnostic(JSON.stringify(world.done));
  for (const [kind, times] of Object.entries(world.done)) {
    assert.ok(times > STEPS / 1000, `${kind} happened only ${times} times`);
  }
});
