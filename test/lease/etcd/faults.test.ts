import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { EtcdLine } from '../../../src/lease/etcd/client.ts';
import { EtcdError } from '../../../src/lease/etcd/errors.ts';
import { checkEtcdOptions, type EtcdTiming } from '../../../src/lease/etcd/options.ts';
import { createEtcdSource } from '../../../src/lease/etcd/source.ts';
import type { LeaseSource, StopWatching } from '../../../src/lease/source.ts';
import { type CutLine, openCutLine } from '../../support/cut-line.ts';
import { type Etcd, startEtcd } from '../../support/etcd.ts';
import { waitFor, waitOut } from '../../support/waitfor.ts';
import { LogBook, Mirror } from '../mirror.ts';

const VALUE = '{"PublicIP":"192.0.2.2","PublicIPv6":null}';
const OTHER = '{"PublicIP":"192.0.2.3","PublicIPv6":null}';

/** Short enough for a test; the server is told to bear such pings. */
const KEEN: Partial<EtcdTiming> = {
  keepalive: 200,
  keepaliveTimeout: 200,
  call: 1000,
  backoffMost: 200,
};
const BEAR = ['--grpc-keepalive-min-time', '50ms'];

function leases(count: number, value = VALUE): Map<string, string> {
  const made = new Map<string, string>();
  for (let i = 0; i < count; i++) made.set(`10.${100 + (i >> 8)}.${i & 255}.0-24`, value);
  return made;
}

function below(prefix: string, entries: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...entries].map(([key, value]) => [`${prefix}/subnets/${key}`, value]));
}

describe('the line to etcd in trouble', () => {
  let etcd: Etcd;
  let line: CutLine;
  let prefix: string;
  let mirror: Mirror;
  let book: LogBook;
  let source: LeaseSource;
  let stop: StopWatching;
  let prefixes = 0;

  before(async () => {
    etcd = await startEtcd({ args: BEAR });
  });
  after(() => etcd.stop());
  beforeEach(async () => {
    line = await openCutLine(etcd.members[0]!.port);
    prefix = `/faults/${prefixes++}`;
    mirror = new Mirror();
    book = new LogBook();
    stop = async () => undefined;
  });
  afterEach(async () => {
    await stop();
    await line.close();
  });

  function watch(timing: Partial<EtcdTiming> = KEEN): void {
    source = createEtcdSource({ endpoints: [line.address], prefix, timing, log: book.log });
    stop = source.watch(mirror);
  }
  const fill = (entries: ReadonlyMap<string, string>) => etcd.putMany(below(prefix, entries));
  const shows = (entries: ReadonlyMap<string, string>) =>
    waitFor(`${entries.size} entries`, () => mirror.shows(entries));
  const becomes = (state: string) =>
    waitFor(`the state ${state}`, () => source.status().state === state);

  test('history compacted while away: one new list, nothing missed, nothing stale', async () => {
    const before = leases(230);
    await fill(before);
    watch();
    await shows(before);
    line.set('cut');
    await becomes('stale');
    const now = new Map([...leases(200, OTHER), ['10.200.0.0-24', VALUE]]);
    for (let round = 0; round < 5; round++)
      await fill(leases(230, `{"PublicIP":"10.0.0.${round}"}`));
    await fill(now);
    for (const key of before.keys())
      if (!now.has(key)) await etcd.delete(`${prefix}/subnets/${key}`);
    await etcd.compact(await etcd.revision());
    const lines = line.opened();
    line.set('pass');
    await shows(now);
    await becomes('synced');
    assert.equal(source.status().resyncs, 1);
    assert.ok(line.opened() - lines <= 8, `${line.opened() - lines} connections to come back`);
    // The new watch stands on the new list.
    await etcd.put(`${prefix}/subnets/10.201.0.0-24`, OTHER);
    await shows(now.set('10.201.0.0-24', OTHER));
    assert.equal(mirror.snapshots, 2);
  });

  test('writes while the list and the watch begin are all seen', async () => {
    const writes = leases(200);
    let written = 0;
    const writer = (async () => {
      for (const [key, value] of writes) {
        await etcd.putMany(below(prefix, new Map([[key, value]])));
        written += 1;
      }
    })();
    await waitFor('some writes', () => written > 20);
    watch();
    await writer;
    await shows(writes);
    assert.ok(mirror.batches > 0, 'nothing was left for the watch to see');
  });

  test('a black hole is found by keep-alive, and a line that comes back is used', async () => {
    await fill(leases(3));
    watch();
    await shows(leases(3));
    await becomes('synced');
    line.set('blackhole');
    await becomes('stale');
    assert.ok(mirror.shows(leases(3)));
    await fill(leases(4));
    await waitFor('several tries', () => source.status().failures >= 3);
    line.set('pass');
    await shows(leases(4));
    assert.ok(book.warnings().length <= 2, book.text);
  });

  test('with the settings of every day it is found within 15 s', async () => {
    const { timing } = checkEtcdOptions({ endpoints: [line.address], prefix });
    assert.ok(timing.keepalive + timing.keepaliveTimeout <= 15_000);
    if (process.env.TEST_LONG !== '1') return;
    await fill(leases(3));
    watch({});
    await becomes('synced');
    line.set('blackhole');
    const begun = performance.now();
    await becomes('stale');
    assert.ok(performance.now() - begun < 15_000);
  });

  test('a quiet line is left alone', async () => {
    await fill(leases(3));
    watch();
    await becomes('synced');
    const opened = line.opened();
    // Five times as long as a black hole lasts.
    await waitOut(5 * 400);
    assert.equal(line.opened(), opened);
    assert.equal(source.status().failures, 0);
  });

  test('a slow line is a line', async () => {
    await fill(leases(3000));
    line.set('delay', 50);
    watch({ ...KEEN, keepaliveTimeout: 1000, call: 5000 });
    await shows(leases(3000));
    await etcd.put(`${prefix}/subnets/10.200.0.0-24`, VALUE);
    await shows(new Map([...leases(3000), ['10.200.0.0-24', VALUE]]));
    assert.deepEqual(book.warnings(), []);
  });

  test('while it is cut the tries are few and the log is silent', async () => {
    line.set('cut');
    watch({});
    await waitOut(2500);
    // Pauses of 100, 200, 400, 800, 1600 ms, each at least halved by chance.
    assert.ok(source.status().failures <= 7, `${source.status().failures} tries`);
    assert.ok(source.status().failures >= 2);
    assert.ok(line.opened() <= 21, `${line.opened()} connections`);
    assert.equal(book.warnings().length, 1, book.text);
    assert.match(book.lines[0]!.reason!, /127\.0\.0\.1:\d+ cannot be reached/);
  });

  test('stop is prompt in a black hole, in a pause and in a call', async () => {
    line.set('blackhole');
    const long = 600_000;
    for (const timing of [KEEN, { ...KEEN, call: long }, { ...KEEN, backoffLeast: long }]) {
      watch(timing);
      const opened = line.opened();
      await waitFor('a try', () => line.opened() > opened || source.status().failures > 0);
      const begun = performance.now();
      await stop();
      assert.ok(performance.now() - begun < long / 2, 'it waited for nothing');
    }
  });

  test('a line that is closed ends the calls under way on it', async () => {
    const timing = { ...KEEN, keepalive: 60_000, call: 60_000 };
    const settings = checkEtcdOptions({ endpoints: [line.address], prefix, timing });
    const client = await EtcdLine.create(settings, settings.endpoints[0]!);
    assert.equal(await client.get('/none'), null);
    line.set('blackhole');
    const sink = { created: () => undefined, changes: () => undefined };
    let ended = 0;
    const end = (error: unknown) => {
      assert.ok(error instanceof EtcdError);
      ended += 1;
    };
    client.get('/none').catch(end);
    client.watch('/none/', '1', sink).catch(end);
    // The calls are on the line once a turn of the event loop has passed.
    setImmediate(() => client.close());
    await waitFor('both calls to end', () => ended === 2);
  });

  test('a burst arrives in batches', async () => {
    watch();
    await becomes('synced');
    for (let round = 0; round < 10; round++) {
      await fill(leases(1000, `{"PublicIP":"192.0.2.${round}"}`));
    }
    await shows(leases(1000, '{"PublicIP":"192.0.2.9"}'));
    assert.ok(mirror.batches < 1000, `${mirror.batches} deliveries for 10,000 events`);
  });

  test('values too big for one page are read in smaller pages, and left out', async () => {
    const big = `{"PublicIP":"192.0.2.2","BackendData":"${'x'.repeat(1_400_000)}"}`;
    const entries = leases(28, big);
    for (const [key, value] of below(prefix, entries)) await etcd.put(key, value);
    watch({ ...KEEN, call: 10_000, keepaliveTimeout: 5000 });
    await shows(new Map([...entries.keys()].map((key) => [key, ''])));
    assert.deepEqual(book.warnings(), []);
    await stop();
    await etcd.etcdctl(['del', '--prefix', `${prefix}/`]);
  });

  test('keys and values of any bytes are passed on beside the good ones', async () => {
    await fill(leases(2));
    watch();
    await shows(leases(2));
    const key = Buffer.concat([Buffer.from(`${prefix}/subnets/`), Buffer.from([0xff, 0xfe, 0])]);
    const body = { key: key.toString('base64'), value: Buffer.from([0x80, 0]).toString('base64') };
    const request = { method: 'POST', body: JSON.stringify(body) };
    assert.ok((await fetch(`${etcd.endpoints[0]}/v3/kv/put`, request)).ok);
    await waitFor('the odd entry', () => mirror.entries.size === 3);
    // Another that is no text either is another entry, and its end does not end the first.
    const other = Buffer.concat([Buffer.from(`${prefix}/subnets/`), Buffer.from([0xff, 0xfd, 0])]);
    const ask = async (what: string, key: Buffer) => {
      const body = JSON.stringify({ key: key.toString('base64') });
      const url = `${etcd.endpoints[0]}/v3/kv/${what}`;
      assert.ok((await fetch(url, { method: 'POST', body })).ok);
    };
    await ask('put', other);
    await waitFor('the other one', () => mirror.entries.size === 4);
    await ask('deleterange', other);
    await waitFor('the odd entry alone', () => mirror.entries.size === 3);
    for (const [good, value] of leases(2)) assert.equal(mirror.entries.get(good), value);
  });

  test('the network config is read, missing, bad or out of reach', async () => {
    watch();
    const read = () => source.config!();
    assert.equal((await read()).kind, 'missing');
    await etcd.put(`${prefix}/config`, '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}');
    const found = await read();
    assert.ok(found.kind === 'config');
    assert.equal(found.config.backend.type, 'vxlan');
    await etcd.put(`${prefix}/config`, '{"Network":"10.244.0.0/16","SubnetLen":9,"EnableIPv4":2}');
    const bad = await read();
    assert.ok(bad.kind === 'bad');
    assert.equal(bad.faults.length, 2);
    assert.match(bad.where, new RegExp(`${prefix}/config`));
    line.set('cut');
    const unreachable = await read();
    assert.ok(unreachable.kind === 'unreachable');
    assert.match(unreachable.reason, /cannot be reached/);
  });
});

test('etcd killed and started again on its port: leases stay, then follow', async () => {
  const etcd = await startEtcd({ args: BEAR });
  const [mirror, book] = [new Mirror(), new LogBook()];
  const { endpoints } = etcd;
  const source = createEtcdSource({ endpoints, prefix: '/p', timing: KEEN, log: book.log });
  const stop = source.watch(mirror);
  try {
    await etcd.putMany(below('/p', leases(5)));
    await waitFor('the leases', () => mirror.shows(leases(5)));
    await etcd.members[0]!.kill();
    await waitFor('stale', () => source.status().state === 'stale');
    await waitFor('many tries', () => source.status().failures > 4);
    assert.ok(mirror.shows(leases(5)));
    await etcd.members[0]!.restart();
    await etcd.delete('/p/subnets/10.100.0.0-24');
    const left = leases(5);
    left.delete('10.100.0.0-24');
    await waitFor('the leases left', () => mirror.shows(left));
    assert.equal(book.warnings().length, 1, book.text);
  } finally {
    await stop();
    await etcd.stop();
  }
});

test('three members: one dead is no matter, without a majority the leases stay', async () => {
  const quick = ['--heartbeat-interval', '50', '--election-timeout', '500'];
  const etcd = await startEtcd({ members: 3, args: [...BEAR, ...quick] });
  const [mirror, book] = [new Mirror(), new LogBook()];
  const { endpoints, members } = etcd;
  const source = createEtcdSource({ endpoints, prefix: '/p', timing: KEEN, log: book.log });
  const stop = source.watch(mirror);
  // Knows only the member that will be left: no line of its own is ever cut.
  const options = { endpoints: [members[0]!.endpoint], prefix: '/p', timing: KEEN };
  const loyal = createEtcdSource({ ...options, log: book.log });
  const stopLoyal = loyal.watch(new Mirror());
  try {
    await etcd.putMany(below('/p', leases(5)));
    await waitFor('the leases', () => mirror.shows(leases(5)));
    await members[1]!.kill();
    // The two left may first have to agree on a leader.
    await waitFor('a put', () => etcd.put('/p/subnets/10.200.0.0-24', VALUE).then(() => true));
    const six = new Map([...leases(5), ['10.200.0.0-24', VALUE]]);
    await waitFor('the sixth lease', () => mirror.shows(six));
    await waitFor('synced', () => source.status().state === 'synced');
    await waitFor('synced', () => loyal.status().state === 'synced');
    await members[2]!.kill();
    await waitFor('stale', () => source.status().state === 'stale');
    // The survivor keeps the line up; only the wish for a leader makes it say that it has none.
    await waitFor('stale', () => loyal.status().state === 'stale');
    assert.match(loyal.status().reason, /has lost its cluster|does not answer/);
    assert.ok(mirror.shows(six));
    await members[1]!.restart();
    await waitFor('a delete', () => etcd.delete('/p/subnets/10.200.0.0-24').then(() => true));
    await waitFor('five leases again', () => mirror.shows(leases(5)));
    await waitFor('synced', () => source.status().state === 'synced');
    await waitFor('synced', () => loyal.status().state === 'synced');
  } finally {
    await stop();
    await stopLoyal();
    await etcd.stop();
  }
});
