/**
 * A history of what somebody may write as leases, lease files and network configs: nothing is ever
 * thrown, two good peers stay as they are, and in the end all is as if only the last good value of
 * each key had ever been there.
 *
 * A case is a list of steps. A step is a byte that says what is done (put, the same put again,
 * delete, list, lease file rewritten, SIGHUP, own key overwritten), a byte for the key, and where a
 * value is written a byte for its kind, one for its size, and as many literal bytes as the kind
 * wants. A compaction is to the watcher what a list is, and so are lines that break.
 */
import assert from 'node:assert/strict';
import { readVtep } from '../../src/agent/backend/vxlan/vtep.ts';
import type { AdmissionRules } from '../../src/lease/admission.ts';
import { entryOf } from '../../src/lease/entry.ts';
import { Holding } from '../../src/lease/etcd/own/holding.ts';
import { ownLeases, pickSubnets } from '../../src/lease/etcd/own/plan.ts';
import { readLeaseList } from '../../src/lease/file.ts';
import { parseLeaseValue, sameLease } from '../../src/lease/lease.ts';
import { parseNetworkConfig } from '../../src/lease/network.ts';
import type { LeaseEntry } from '../../src/lease/source.ts';
import { LeaseWatcher } from '../../src/lease/watcher.ts';
import { parseAddress4, parsePrefix4 } from '../../src/wire/address.ts';
import { fuzz } from '../support/fuzz.ts';
import type { Random } from '../support/random.ts';

const OWN = { subnet: parsePrefix4('10.244.9.0/24')!, publicAddress: parseAddress4('192.0.2.9')! };
const RULES: AdmissionRules = {
  network: parsePrefix4('10.244.0.0/16')!,
  own: OWN,
  reachable: (type) => type === '' || type === 'udp',
  keepsBackendData: true,
};
const NETWORK = parseNetworkConfig('{"Network":"10.244.0.0/16"}');

/** Never written by a step. */
const GOOD: readonly (readonly [key: string, value: string])[] = [
  ['10.244.1.0-24', '{"PublicIP":"192.0.2.1"}'],
  ['10.244.2.0-24', '{"PublicIP":"192.0.2.2","BackendType":"udp","BackendData":{"a":[1]}}'],
];
const KEYS = [
  ...['10.244.3.0-24', '10.244.4.0-24', '10.244.4.0-24&fd00::-64', '10.244.9.0-24'],
  ...['10.244.9.128-25', 'junk', '__proto__', '\u001b[31m', 'k'.repeat(2_000_000 / 4000)],
].map((key) => Buffer.from(key));
KEYS.push(Buffer.from([0xff, 0xfe]), Buffer.from([0xff, 0xfd]));

/** Steps of one case, and literal bytes of one value, at most. */
const MOST_STEPS = 40;
const MOST_LITERAL = 64;

const nest = (open: string, core: string, close: string, depth: number) =>
  open.repeat(depth) + core + close.repeat(depth);
const around = (data: string) => `{"PublicIP":"192.0.2.5","BackendData":${data}}`;

/** How values are made of a size of 0 to 255 and literal bytes. */
const VALUES: readonly ((size: number, literal: Buffer) => Buffer | string)[] = [
  (size) => `{"PublicIP":"192.0.2.${size}"}`,
  (_, literal) => literal,
  (_, literal) => around(literal.toString('latin1')),
  (size) => around(nest('[', '', ']', size * 40)),
  (size) => around(nest('{"a":', '1', '}', size * 40)),
  (size) => around(`[${'0,'.repeat(size * 20)}0]`),
  (size) => around(`"${'x'.repeat(size * 300)}"`),
  (size) => `{${'"PublicIP":"192.0.2.3",'.repeat(size)}"publicip":"192.0.2.4"}`,
  (size) => `{"PublicIP":"192.0.2.3","PublicIP":${size}}`,
  (size) => nest('[', '', ']', size * 40),
  (size) =>
    `{"Network":"10.${size}.0.0/16","Backend":{"Type":"udp","x":${nest('[', '', ']', size)}}}`,
  (size) => `{"Network":"10.244.0.0/${size}","SubnetLen":${size}.0,"network":null}`,
  (size) => `{"PublicIP":"192.0.2.6","BackendType":"${'t'.repeat(size)}"}`,
  (size) => Buffer.alloc(size * 300, size),
];

/** Reads a case; at its end all bytes are 0. */
class Script {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isOver(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.#at] ?? 0;
    this.#at += 1;
    return byte;
  }

  value(): Buffer {
    const make = VALUES[this.byte() % VALUES.length]!;
    const size = this.byte();
    const literal = Buffer.from(this.#bytes.subarray(this.#at, this.#at + (size % MOST_LITERAL)));
    if (make.length === 2) this.#at += literal.length;
    return Buffer.from(make(size, literal));
  }
}

interface Stored {
  readonly name: Buffer;
  readonly value: Buffer;
  readonly order: number;
}

/** The store as etcd would hold it, what follows it, and the plainest reading of the rules. */
class World {
  readonly watcher = new LeaseWatcher(RULES);
  readonly #store = new Map<string, Stored>();
  /** The last value of each present key that a watcher with nothing else in it can read. */
  readonly #good = new Map<string, LeaseEntry>();
  /** What the last step came to. */
  last = 'nothing';
  #revision = 0;
  #last: Buffer = Buffer.from('{}');

  constructor() {
    for (const [key, value] of GOOD) this.put(Buffer.from(key), Buffer.from(value));
    this.list();
  }

  put(name: Buffer, value: Buffer): void {
    this.#revision += 1;
    this.#last = value;
    this.#store.set(name.toString('hex'), { name, value, order: this.#revision });
    const entry = entryOf(name, value, this.#revision);
    assert.ok(entry.key.length < 300 && entry.value.length <= 4096, 'an entry without a bound');
    this.#note(entry);
    this.watcher.changes([{ kind: 'put', entry }]);
  }

  putAgain(name: Buffer): void {
    this.put(name, this.#last);
  }

  delete(name: Buffer): void {
    this.#store.delete(name.toString('hex'));
    const { key } = entryOf(name, Buffer.alloc(0), 0);
    this.#good.delete(key);
    this.watcher.changes([{ kind: 'delete', key }]);
  }

  list(): void {
    const entries = [...this.#store.values()].map(({ name, value, order }) => {
      return entryOf(name, value, order);
    });
    this.watcher.snapshot(entries);
  }

  /** The store as a lease file, which is read by another watcher, with the bytes as they are. */
  rewriteFile(): void {
    const rows = [...this.#store.values()].map(({ name, value }) => {
      return Buffer.concat([Buffer.from(`${JSON.stringify(name.toString())}:`), value]);
    });
    const text = Buffer.concat([Buffer.from('{'), ...rows.flatMap(commaBefore), Buffer.from('}')]);
    const list = readLeaseList(text);
    if ('fault' in list) {
      assert.match(list.fault, /^(?:not JSON|too long|nested more)/);
      this.last = 'a bad file';
      return;
    }
    const watcher = new LeaseWatcher(RULES);
    watcher.snapshot(list.entries);
    watcher.snapshot(list.entries);
    this.last = 'a good file';
    assertGood(watcher);
  }

  /** The network config read again, twice, and the same bytes as BackendData. */
  reload(value: Buffer): void {
    const [one, other] = [value, value].map((bytes) => parseNetworkConfig(bytes.toString()));
    assert.deepEqual(one, other);
    if (one!.ok) assert.equal(parseNetworkConfig(one!.config.text).ok, true);
    else assert.ok(one!.faults.length > 0 && one!.faults.every((fault) => fault.length < 400));
    const vtep = readVtep(value.toString());
    assert.ok(vtep.ok || vtep.reason.length < 800);
    this.last = one!.ok ? 'a good config' : 'a bad config';
  }

  /** What a keeper of the own lease makes of a strange value under its key. */
  overwriteOwn(value: Buffer): void {
    const lease = { key: '10.244.9.0-24', ...OWN, backendType: '' };
    const times = { ends: 1e9, seconds: 1e6 };
    const held = { lease, leaseId: '7', revision: 1, asOf: 1, ...times };
    const holding = new Holding(held, lease, 1000, 100);
    for (let revision = 2; revision < 4; revision++) {
      const found = { value: value.toString(), lease: '7', revision };
      assert.ok(['ours', 'foreign', 'overwritten'].includes(holding.take(found, 5, 0).kind));
    }
    const entries = [...this.#store.values()].map(({ name, value, order }) => {
      return entryOf(name, value, order);
    });
    ownLeases(entries, OWN.publicAddress);
    assert.ok(NETWORK.ok);
    const previous = { subnet: OWN.subnet, subnet6: undefined };
    const picked = pickSubnets(entries, NETWORK.config, previous, () => 0);
    assert.ok(picked !== undefined && picked.subnet.length === 24);
  }

  #note(entry: LeaseEntry): void {
    const isRead = entry.fault === undefined && parseLeaseValue(entry.value).ok;
    if (isRead) this.#good.set(entry.key, entry);
    else if (this.#good.has(entry.key)) this.#good.set(entry.key, reordered(this.#good, entry));
    this.last = isRead ? 'read' : 'refused';
  }

  /** Against a watcher that has heard of nothing but the last good values. */
  compare(): void {
    assertGood(this.watcher);
    const fresh = new LeaseWatcher(RULES);
    fresh.snapshot([...this.#good.values()]);
    const [found, expected] = [this.watcher, fresh].map((watcher) => {
      return watcher.leases().sort((a, b) => (a.key < b.key ? -1 : 1));
    });
    assert.equal(found!.length, expected!.length);
    for (const [at, lease] of found!.entries()) assert.ok(sameLease(lease, expected![at]!));
    const told = this.watcher.refusals(1000);
    assert.ok(told.every(({ key, detail }) => key.length < 300 && detail.length < 1000));
    assert.doesNotThrow(() => JSON.stringify(this.watcher.leases()));
  }
}

/** A bad value keeps the good one before it, at its own place in time. */
function reordered(good: ReadonlyMap<string, LeaseEntry>, { key, order }: LeaseEntry): LeaseEntry {
  return { ...good.get(key)!, order };
}

function commaBefore(row: Buffer, at: number): Buffer[] {
  return at === 0 ? [row] : [Buffer.from(','), row];
}

function assertGood(watcher: LeaseWatcher): void {
  const peers = new Set(watcher.leases().map(({ key }) => key));
  for (const [key] of GOOD) assert.ok(peers.has(key), `${key} is a peer no more`);
}

function check(bytes: Uint8Array): string {
  const script = new Script(bytes);
  const world = new World();
  for (let steps = 0; !script.isOver && steps < MOST_STEPS; steps++) {
    const what = script.byte();
    const key = KEYS[script.byte() % KEYS.length]!;
    const step = [
      () => world.put(key, script.value()),
      () => world.put(key, script.value()),
      () => world.putAgain(key),
      () => world.delete(key),
      () => world.list(),
      () => world.rewriteFile(),
      () => world.reload(script.value()),
      () => world.overwriteOwn(script.value()),
    ][what % 8]!;
    step();
    world.compare();
  }
  return world.last;
}

function generate(random: Random): Uint8Array {
  const steps = Array.from({ length: random.between(1, MOST_STEPS / 2) }, () => {
    const size = random.below(256);
    const literal = random.oneIn(2)
      ? random.bytes(size % MOST_LITERAL)
      : Buffer.from('{"PublicIP":"192.0.2.7"}'.padEnd(MOST_LITERAL)).subarray(
          0,
          size % MOST_LITERAL,
        );
    const value = [random.below(VALUES.length), size, ...literal];
    return [random.below(8), random.below(KEYS.length), ...value];
  });
  return Uint8Array.from(steps.flat());
}

const KINDS = ['read', 'refused', 'a good file', 'a bad file', 'a good config', 'a bad config'];

fuzz({ name: 'leases', generate, check, kinds: KINDS });
