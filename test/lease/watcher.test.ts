import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AdmissionRules, RefusalReason } from '../../src/lease/admission.ts';
import { REFUSAL_REASONS, reachableByUdp } from '../../src/lease/admission.ts';
import type { LeaseEntry } from '../../src/lease/source.ts';
import { LeaseWatcher } from '../../src/lease/watcher.ts';
import { formatAddress4, parseAddress4, parsePrefix4 } from '../../src/wire/address.ts';

const RULES: AdmissionRules = {
  network: parsePrefix4('10.244.0.0/16')!,
  own: { subnet: parsePrefix4('10.244.9.0/24')!, publicAddress: parseAddress4('192.0.2.9')! },
  reachable: reachableByUdp,
};

let order = 0;
function entry(key: string, address: string, more: object = {}): LeaseEntry {
  order += 1;
  return { key, value: JSON.stringify({ PublicIP: address, ...more }), order };
}

function put(watcher: LeaseWatcher, ...entries: LeaseEntry[]): boolean {
  return watcher.changes(entries.map((one) => ({ kind: 'put', entry: one })));
}

function remove(watcher: LeaseWatcher, ...keys: string[]): boolean {
  return watcher.changes(keys.map((key) => ({ kind: 'delete', key })));
}

/** The rows as sorted text: "10.244.2.0/24 192.0.2.2". */
function rows(watcher: LeaseWatcher): string[] {
  return watcher
    .rows()
    .map(({ network, length, peer }) => {
      return `${formatAddress4(network)}/${length} ${formatAddress4(peer)}`;
    })
    .sort();
}

/** The refusal gauges that are not 0. */
function refused(watcher: LeaseWatcher): Partial<Record<RefusalReason, number>> {
  const gauges = Object.entries(watcher.counts().refused);
  return Object.fromEntries(gauges.filter(([, number]) => number !== 0));
}

const GOOD = ['10.244.2.0/24 192.0.2.2'];

function withOnePeer(rules: AdmissionRules = RULES): LeaseWatcher {
  const watcher = new LeaseWatcher(rules);
  watcher.snapshot([entry('10.244.2.0-24', '192.0.2.2')]);
  assert.deepEqual(rows(watcher), GOOD);
  return watcher;
}

describe('what is refused, with a good peer beside it that stays', () => {
  const cases: readonly [what: string, lease: LeaseEntry, reason: RefusalReason][] = [
    ['a key that is none', entry('node3', '192.0.2.3'), 'bad_key'],
    ['a value that is none', { key: '10.244.3.0-24', value: '{', order: 1 }, 'bad_value'],
    ['an empty value', { key: '10.244.3.0-24', value: '', order: 1 }, 'bad_value'],
    ['another network', entry('10.245.3.0-24', '192.0.2.3'), 'outside_network'],
    ['a subnet wider than the network', entry('10.0.0.0-8', '192.0.2.3'), 'outside_network'],
    ['the default route', entry('0.0.0.0-0', '192.0.2.3'), 'outside_network'],
    ['our subnet elsewhere', entry('10.244.9.0-24', '192.0.2.3'), 'own_subnet_elsewhere'],
    ['a part of our subnet', entry('10.244.9.128-25', '192.0.2.3'), 'own_subnet_elsewhere'],
    [
      'vxlan',
      entry('10.244.3.0-24', '192.0.2.3', { BackendType: 'vxlan', BackendData: { VNI: 1 } }),
      'other_backend',
    ],
    ['no address', entry('10.244.3.0-24', '0.0.0.0'), 'bad_public_address'],
    ['this network', entry('10.244.3.0-24', '0.0.0.3'), 'bad_public_address'],
    ['loopback', entry('10.244.3.0-24', '127.0.0.1'), 'bad_public_address'],
    ['multicast', entry('10.244.3.0-24', '224.0.0.1'), 'bad_public_address'],
    ['multicast at its end', entry('10.244.3.0-24', '239.255.255.255'), 'bad_public_address'],
    ['broadcast', entry('10.244.3.0-24', '255.255.255.255'), 'bad_public_address'],
    ['an address in its own subnet', entry('10.244.3.0-24', '10.244.3.1'), 'bad_public_address'],
    ['our address, another subnet', entry('10.244.3.0-24', '192.0.2.9'), 'own_public_address'],
  ];
  for (const [what, lease, reason] of cases) {
    for (const way of ['put', 'snapshot'] as const) {
      test(`${what}, by ${way}: ${reason}`, () => {
        const watcher = withOnePeer();
        const good = entry('10.244.2.0-24', '192.0.2.2');
        const changed = way === 'put' ? put(watcher, lease) : watcher.snapshot([lease, good]);
        assert.equal(changed, false);
        assert.deepEqual(rows(watcher), GOOD);
        assert.deepEqual(refused(watcher), { [reason]: 1 });
        const [told] = watcher.refusals(10);
        assert.deepEqual([told?.key, told?.reason], [lease.key, reason]);
        assert.equal(remove(watcher, lease.key), false);
        assert.deepEqual(refused(watcher), {});
        assert.deepEqual(watcher.refusals(10), []);
      });
    }
  }

  test('gauges exist for every reason from the start', () => {
    const gauges = new LeaseWatcher(RULES).counts().refused;
    assert.deepEqual(Object.keys(gauges).sort(), [...REFUSAL_REASONS].sort());
  });

  test('as many refusals are told as were asked for', () => {
    const watcher = withOnePeer();
    for (let i = 0; i < 9; i++)
      put(watcher, entry(`bad${i}`, ''), entry(`10.1.${i}.0-24`, '1.2.3.4'));
    assert.equal(watcher.refusals(5).length, 5);
    assert.equal(watcher.refusals(12).length, 12);
  });
});

describe('what is admitted', () => {
  const cases: readonly [what: string, lease: LeaseEntry, row: string][] = [
    ['udp named', entry('10.244.3.0-24', '192.0.2.3', { BackendType: 'udp' }), '10.244.3.0/24'],
    ['two families', entry('10.244.3.0-24&fd00::-64', '192.0.2.3'), '10.244.3.0/24'],
    ['another length', entry('10.244.32.0-20', '192.0.2.3'), '10.244.32.0/20'],
    ['the whole network, ours inside', entry('10.244.0.0-16', '192.0.2.3'), '10.244.0.0/16'],
    ['240.0.0.0/4, which some use', entry('10.244.3.0-24', '240.0.0.3'), '10.244.3.0/24'],
    ['another subnet of a peer', entry('10.244.3.0-24', '192.0.2.2'), '10.244.3.0/24'],
  ];
  for (const [what, lease, prefix] of cases) {
    test(what, () => {
      const watcher = withOnePeer();
      assert.equal(put(watcher, lease), true);
      const row = `${prefix} ${(JSON.parse(lease.value) as { PublicIP: string }).PublicIP}`;
      assert.deepEqual(rows(watcher), [...GOOD, row].sort());
      assert.equal(watcher.counts().peers, 2);
    });
  }

  test('our own lease is neither a peer nor refused', () => {
    const watcher = withOnePeer();
    assert.equal(put(watcher, entry('10.244.9.0-24', '192.0.2.9')), false);
    assert.deepEqual(rows(watcher), GOOD);
    assert.deepEqual(refused(watcher), {});
  });

  test('a node without a lease of its own admits all of the network', () => {
    const watcher = new LeaseWatcher({ ...RULES, own: null });
    put(watcher, entry('10.244.9.0-24', '192.0.2.9'));
    assert.deepEqual(rows(watcher), ['10.244.9.0/24 192.0.2.9']);
  });

  test('another backend sets what is reachable', () => {
    const watcher = new LeaseWatcher({ ...RULES, reachable: (type) => type === 'vxlan' });
    put(watcher, entry('10.244.2.0-24', '192.0.2.2', { BackendType: 'vxlan' }));
    put(watcher, entry('10.244.3.0-24', '192.0.2.3'));
    assert.deepEqual(rows(watcher), GOOD);
    assert.deepEqual(refused(watcher), { other_backend: 1 });
  });
});

describe('how leases change', () => {
  test('the same again is no change, in either way it can be said', () => {
    const watcher = withOnePeer();
    assert.equal(put(watcher, entry('10.244.2.0-24', '192.0.2.2')), false);
    assert.equal(put(watcher, entry('10.244.2.0-24', '192.0.2.2', { PublicIPv6: null })), false);
    assert.equal(watcher.snapshot([entry('10.244.2.0-24', '192.0.2.2')]), false);
    assert.deepEqual(watcher.counts().events, { put: 2, delete: 0, snapshot: 2, ignored: 2 });
  });

  test('a moved node is a change, in a snapshot too', () => {
    const watcher = withOnePeer();
    assert.equal(watcher.snapshot([entry('10.244.2.0-24', '192.0.2.22')]), true);
    assert.deepEqual(rows(watcher), ['10.244.2.0/24 192.0.2.22']);
    assert.equal(put(watcher, entry('10.244.2.0-24', '192.0.2.23')), true);
    assert.deepEqual(rows(watcher), ['10.244.2.0/24 192.0.2.23']);
  });

  test('new backend data is a change', () => {
    const watcher = withOnePeer({ ...RULES, keepsBackendData: true });
    assert.equal(put(watcher, entry('10.244.2.0-24', '192.0.2.2', { BackendData: 1 })), true);
    assert.equal(watcher.leases()[0]?.backendData, '1');
  });

  test('backend data that nobody reads is not kept, and its change none', () => {
    const watcher = withOnePeer();
    for (const BackendData of [1, 'x'.repeat(1000), [[[]]], null]) {
      assert.equal(put(watcher, entry('10.244.2.0-24', '192.0.2.2', { BackendData })), false);
    }
    assert.deepEqual(Object.keys(watcher.leases()[0]!).sort(), [
      ...['backendType', 'key', 'publicAddress', 'subnet'],
    ]);
  });

  test('whatever throws on one entry refuses that entry, and is not thrown on', () => {
    const reachable = (type: string) => {
      if (type === 'poison') throw new RangeError('Maximum call stack size exceeded');
      return type === '';
    };
    const watcher = withOnePeer({ ...RULES, reachable });
    const poison = entry('10.244.3.0-24', '192.0.2.3', { BackendType: 'poison' });
    for (let times = 0; times < 3; times++) put(watcher, poison);
    watcher.snapshot([poison, entry('10.244.2.0-24', '192.0.2.2')]);
    watcher.configure({ ...RULES, reachable });
    assert.deepEqual(rows(watcher), ['10.244.2.0/24 192.0.2.2']);
    assert.deepEqual(refused(watcher), { bad_value: 1 });
    assert.match(watcher.refusals(9)[0]!.detail, /please report it/);
    remove(watcher, '10.244.3.0-24');
    assert.deepEqual(refused(watcher), {});
  });

  test('a value that its source left out is a bad one', () => {
    const watcher = withOnePeer();
    const fault = 'too long: 1400000 bytes, where at most 4096 are taken';
    put(watcher, { key: '10.244.2.0-24', value: '', order: 7, fault });
    assert.deepEqual(rows(watcher), ['10.244.2.0/24 192.0.2.2']);
    assert.deepEqual(watcher.refusals(9), [
      { key: '10.244.2.0-24', reason: 'bad_value', detail: fault },
    ]);
  });

  test('beyond as many entries as may be, those that are known go on', () => {
    const watcher = new LeaseWatcher(RULES, 3);
    put(watcher, entry('10.244.2.0-24', '192.0.2.2'), entry('junk', 'x'));
    const more = ['10.244.3.0-24', '10.244.4.0-24', 'more junk'];
    put(watcher, ...more.map((key) => entry(key, '192.0.2.3')));
    assert.deepEqual(rows(watcher), ['10.244.2.0/24 192.0.2.2', '10.244.3.0/24 192.0.2.3']);
    put(watcher, entry('10.244.2.0-24', '192.0.2.22'), entry('junk', 'x'));
    assert.deepEqual(rows(watcher), ['10.244.2.0/24 192.0.2.22', '10.244.3.0/24 192.0.2.3']);
    remove(watcher, 'junk');
    put(watcher, entry('10.244.4.0-24', '192.0.2.4'));
    assert.equal(rows(watcher).length, 3);
  });

  test('what a snapshot lacks is gone, bad keys too', () => {
    const watcher = withOnePeer();
    put(watcher, entry('10.244.3.0-24', '192.0.2.3'), entry('bad', ''));
    assert.equal(watcher.snapshot([entry('10.244.3.0-24', '192.0.2.3')]), true);
    assert.deepEqual(rows(watcher), ['10.244.3.0/24 192.0.2.3']);
    assert.deepEqual(refused(watcher), {});
    assert.equal(watcher.snapshot([]), true);
    assert.deepEqual(rows(watcher), []);
    assert.equal(watcher.counts().peers, 0);
  });

  test('a put and a delete in one batch take effect in their order', () => {
    const watcher = withOnePeer();
    const again = entry('10.244.2.0-24', '192.0.2.5');
    watcher.changes([
      { kind: 'put', entry: again },
      { kind: 'delete', key: again.key },
    ]);
    assert.deepEqual(rows(watcher), []);
    watcher.changes([
      { kind: 'delete', key: again.key },
      { kind: 'put', entry: again },
    ]);
    assert.deepEqual(rows(watcher), ['10.244.2.0/24 192.0.2.5']);
  });

  test('a delete of what is not there is ignored', () => {
    const watcher = withOnePeer();
    assert.equal(remove(watcher, '10.244.77.0-24', 'bad'), false);
    assert.equal(watcher.counts().events.ignored, 2);
  });

  test('an unreadable value keeps the good one until the delete', () => {
    const watcher = withOnePeer();
    const bad = { key: '10.244.2.0-24', value: 'garbage', order: 99 };
    assert.equal(put(watcher, bad), false);
    assert.equal(watcher.snapshot([bad]), false);
    assert.deepEqual(rows(watcher), GOOD);
    assert.deepEqual(refused(watcher), { bad_value: 1 });
    assert.equal(put(watcher, entry(bad.key, '192.0.2.2')), false);
    assert.deepEqual(refused(watcher), {});
    put(watcher, bad);
    assert.equal(remove(watcher, bad.key), true);
    assert.deepEqual(rows(watcher), []);
    assert.deepEqual(refused(watcher), {});
    assert.equal(put(watcher, bad), false, 'a value from before the delete came back');
    assert.deepEqual(rows(watcher), []);
  });

  test('a readable value that must be refused ends the peer', () => {
    const watcher = withOnePeer();
    const vxlan = entry('10.244.2.0-24', '192.0.2.2', { BackendType: 'vxlan' });
    assert.equal(put(watcher, vxlan), true);
    assert.deepEqual(rows(watcher), []);
    assert.deepEqual(refused(watcher), { other_backend: 1 });
  });

  test('of two entries for a subnet the newer is the peer, and the older after it', () => {
    const watcher = withOnePeer();
    assert.equal(put(watcher, entry('10.244.2.0-24&fd00::-64', '192.0.2.6')), true);
    assert.deepEqual(rows(watcher), ['10.244.2.0/24 192.0.2.6']);
    assert.deepEqual(refused(watcher), { duplicate_subnet: 1 });
    assert.equal(put(watcher, entry('10.244.2.0-24', '192.0.2.2')), true);
    assert.deepEqual(rows(watcher), GOOD);
    assert.equal(remove(watcher, '10.244.2.0-24'), true);
    assert.deepEqual(rows(watcher), ['10.244.2.0/24 192.0.2.6']);
    assert.deepEqual(refused(watcher), {});
  });

  test('new rules judge what is already known', () => {
    const watcher = new LeaseWatcher({ ...RULES, own: null });
    watcher.snapshot([entry('10.244.2.0-24', '192.0.2.2'), entry('10.244.9.0-24', '192.0.2.9')]);
    assert.equal(watcher.counts().peers, 2);
    assert.equal(watcher.configure(RULES), true);
    assert.deepEqual(rows(watcher), GOOD);
    assert.equal(watcher.configure(RULES), false);
    const moved = { subnet: RULES.own!.subnet, publicAddress: parseAddress4('192.0.2.2')! };
    assert.equal(watcher.configure({ ...RULES, own: moved }), true);
    const expected = { own_public_address: 1, own_subnet_elsewhere: 1 };
    assert.deepEqual(refused(watcher), expected);
  });
});

describe('whose the own subnet is', () => {
  const OWN = '10.244.9.0-24';
  const at = (text: string) => ({ kind: 'foreign', publicAddress: parseAddress4(text)! });

  test("ours, another node's, and ours again", () => {
    const watcher = withOnePeer();
    assert.deepEqual(watcher.standing(), { kind: 'unclaimed' });
    put(watcher, entry(OWN, '192.0.2.9'));
    assert.deepEqual(watcher.standing(), { kind: 'own' });
    put(watcher, entry(OWN, '192.0.2.77'));
    assert.deepEqual(watcher.standing(), at('192.0.2.77'));
    put(watcher, entry(OWN, '192.0.2.9'));
    assert.deepEqual(watcher.standing(), { kind: 'own' });
    remove(watcher, OWN);
    assert.deepEqual(watcher.standing(), { kind: 'unclaimed' });
  });

  test('still ours where the key stands and its value cannot be read, or names nobody', () => {
    const watcher = withOnePeer();
    put(watcher, entry(OWN, '192.0.2.9'), { key: OWN, value: '{', order: 99 });
    assert.deepEqual(watcher.standing(), { kind: 'own' });
    put(watcher, entry(OWN, '0.0.0.0'));
    assert.deepEqual(watcher.standing(), { kind: 'unclaimed' });
  });

  test('ours by either form of the key; of others, the newest counts', () => {
    const watcher = withOnePeer();
    put(watcher, entry(OWN, '192.0.2.77'), entry(`${OWN}&fd00:9::-64`, '192.0.2.78'));
    assert.deepEqual(watcher.standing(), at('192.0.2.78'));
    put(watcher, entry(`${OWN}&fd00:9::-64`, '192.0.2.9'));
    assert.deepEqual(watcher.standing(), { kind: 'own' });
  });

  test('not touched by leases inside it, around it, or beside it', () => {
    const watcher = withOnePeer();
    const others = ['10.244.9.128-25', '10.244.8.0-23', '10.244.10.0-24'];
    put(watcher, ...others.map((key) => entry(key, '192.0.2.77')));
    assert.deepEqual(watcher.standing(), { kind: 'unclaimed' });
  });

  test('judged by the rules in force', () => {
    const watcher = withOnePeer();
    put(watcher, entry(OWN, '192.0.2.10'));
    assert.deepEqual(watcher.standing(), at('192.0.2.10'));
    const own = { ...RULES.own!, publicAddress: parseAddress4('192.0.2.10')! };
    watcher.configure({ ...RULES, own });
    assert.deepEqual(watcher.standing(), { kind: 'own' });
    watcher.configure({ ...RULES, own: null });
    assert.deepEqual(watcher.standing(), { kind: 'unclaimed' });
  });
});
