import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { Recorder } from '../../src/api/answer/history.ts';
import { answerPeers, readOrder } from '../../src/api/answer/peers.ts';
import { answerStatus } from '../../src/api/answer/status.ts';
import { answerTrace } from '../../src/api/answer/trace.ts';
import { PEER_ORDERS } from '../../src/api/routes.ts';
import { History, Peers, Status, Trace } from '../../src/api/schema.ts';
import type { ApiView, PeerView } from '../../src/api/view.ts';
import * as counters from '../../src/dataplane/counters.ts';
import { apiView, peer, pump } from './view.ts';

const ALL = { order: 'subnet', descending: false, filter: '', limit: 1_000 } as const;

describe('the status answer', () => {
  test('sums workers and tells rates of the last ten seconds', () => {
    const view = apiView();
    const recorder = new Recorder(view);
    const now = performance.now() / 1000;
    recorder.sample(now - 60);
    recorder.sample(now - 10);
    view.counters[0]!.values[counters.PACKETS] = 1_000;
    view.counters[0]!.values[counters.INNER_BYTES] = 50_000;
    view.counters[0]!.values[counters.TX_NO_ROUTE] = 20;
    recorder.sample(now);
    const status = Status.parse(answerStatus(view, recorder));
    assert.equal(status.tx.packets, 1_000);
    assert.equal(status.tx.dropped, 20);
    assert.ok(Math.abs(status.tx.packetsPerSecond - 100) < 5, `${status.tx.packetsPerSecond}`);
    const drop = status.drops.find(({ reason }) => reason === 'no_route')!;
    assert.ok(Math.abs(drop.perSecond - 2) < 0.2, `${drop.perSecond}`);
    assert.equal(status.rx.packetsPerSecond, 0);
  });

  test('is whole before anything is there', () => {
    const view = apiView({
      device: () => null,
      underlay: () => null,
      lease: () => null,
      pumps: () => [],
      counters: [],
      peers: () => [],
      notReady: () => ['starting'],
    });
    const status = Status.parse(answerStatus(view, new Recorder(view)));
    assert.deepEqual([status.health.ready, status.offloads], [false, []]);
  });

  test('says why an offload is off', () => {
    const features = ['tun_vnet_hdr'];
    const reasons = (rest: Partial<ApiView>) => {
      const view = apiView({ pumps: () => [pump('tx', { features }), pump('rx')], ...rest });
      const { offloads } = answerStatus(view, new Recorder(view));
      return Object.fromEntries(offloads.map(({ name, reason }) => [name, reason]));
    };
    assert.match(reasons({}).tun_uso!, /lacks it: needs Linux 6\.2/);
    assert.equal(reasons({}).tun_vnet_hdr, '');
    assert.match(reasons({ disabledFeatures: ['udp_gso'] }).udp_gso!, /switched off by --offload/);
    const lowered = () => [pump('tx', { features, lowered: ['udp_gso'] })];
    assert.match(reasons({ pumps: lowered }).udp_gso!, /refused it at run time to tx worker 0/);
    assert.equal(reasons({ pumps: () => [pump('tx')] }).tun_uso, 'needs tun_vnet_hdr');
  });

  test('history is bounded', () => {
    const recorder = new Recorder(apiView());
    for (let second = 0; second < 400; second++) recorder.sample(second);
    assert.equal(History.parse(recorder.history()).samples.length, 300);
  });
});

describe('the peers answer', () => {
  const known: Partial<PeerView> = { txBytes: 10, rxBytes: 5, lastSeenSeconds: 7, pathMtu: 1_400 };
  const probe = { roundTripMs: 1.5, lossRatio: 0.25, sent: 4, lastAnswerSeconds: 9 };
  const view = apiView({ peers: () => [peer(10), peer(9), peer(2, { ...known, probe })] });
  const recorder = new Recorder(view);
  const subnets = (wishes: Partial<Parameters<typeof answerPeers>[2]>) =>
    answerPeers(view, recorder, { ...ALL, ...wishes }).peers.map(({ subnet }) => subnet);

  test('sorts by number, not by text, and either way', () => {
    assert.deepEqual(subnets({}), ['10.244.2.0/24', '10.244.9.0/24', '10.244.10.0/24']);
    assert.equal(subnets({ descending: true })[0], '10.244.10.0/24');
  });

  for (const order of PEER_ORDERS) {
    test(`by ${order} puts what is not known last, both ways`, () => {
      for (const text of [order, `-${order}`]) {
        const wishes = { ...ALL, ...readOrder(text)! };
        const rows = Peers.parse(answerPeers(view, recorder, wishes)).peers;
        const unknown = ['tx', 'rx', 'seen', 'mtu', 'rtt', 'loss'].includes(order);
        if (unknown) assert.equal(rows[0]!.subnet, '10.244.2.0/24');
      }
    });
  }

  test('filters by text and by an address inside the subnet', () => {
    assert.deepEqual(subnets({ filter: '192.0.2.9' }), ['10.244.9.0/24']);
    assert.deepEqual(subnets({ filter: '10.244.10.77' }), ['10.244.10.0/24']);
    assert.deepEqual(subnets({ filter: 'nothing' }), []);
    const cut = answerPeers(view, recorder, { ...ALL, limit: 1 });
    assert.deepEqual([cut.total, cut.matched, cut.peers.length], [3, 3, 1]);
  });

  test('tells rates once there are two looks', () => {
    let bytes = 0;
    const counted = apiView({ peers: () => [peer(2, { txBytes: bytes })] });
    const rates = new Recorder(counted);
    rates.sample(performance.now() / 1000 - 10);
    bytes = 1_000;
    const [row] = answerPeers(counted, rates, ALL).peers;
    assert.ok(Math.abs(row!.txBytesPerSecond! - 100) < 5, `${row!.txBytesPerSecond}`);
    assert.equal(row!.rxBytesPerSecond, null);
  });
});

describe('the trace answer', () => {
  const probe = { roundTripMs: 1.5, lossRatio: 0, sent: 4, lastAnswerSeconds: 9 };
  const answered = () => [peer(2, { probe })];

  async function trace(rest: Partial<ApiView>, destination = '10.244.2.2', source?: string) {
    const found = Trace.parse(await answerTrace(apiView(rest), destination, source));
    const last = found.steps.at(-1)!;
    return { ...found, last, name: `${last.name} ${last.outcome}` };
  }

  test('passes where every step is fine', async () => {
    const found = await trace({ peers: answered });
    assert.equal(found.verdict, 'passes');
    assert.deepEqual(
      found.steps.map(({ name }) => name),
      ['route', 'device', 'source', 'lease', 'peer', 'path MTU', 'far end'],
    );
    assert.deepEqual([found.subnet, found.peer], ['10.244.2.0/24', '192.0.2.2']);
  });

  test('says unknown where nobody probed the far end', async () => {
    const found = await trace({});
    assert.deepEqual([found.verdict, found.name], ['unknown', 'far end unknown']);
  });

  test('of two leases takes the longer prefix', async () => {
    const wide = peer(3, { subnet: '10.244.0.0/16' });
    const found = await trace({ peers: () => [wide, ...answered()] });
    assert.equal(found.peer, '192.0.2.2');
  });

  const fails: [string, Partial<ApiView>, string, RegExp][] = [
    ['nothing is set up', { device: () => null }, 'device fails', /forwards nothing/],
    [
      'the device is down',
      { device: () => ({ name: 'flannel0', up: false, mtu: 1472, address: '10.244.1.0' }) },
      'device fails',
      /is down/,
    ],
    [
      'the own lease is lost',
      { lease: () => ({ ...apiView().lease()!, lost: 'the lease of 10.244.1.0/24 is lost' }) },
      'own lease fails',
      /is lost: nothing is carried/,
    ],
    ['there is no route', { route: async () => undefined }, 'route fails', /no route there/],
    ['there is no lease', { peers: () => [] }, 'lease fails', /no lease covers/],
    [
      'the lease is refused',
      {
        peers: () => [],
        refusals: () => [{ key: '10.244.2.0-24', reason: 'bad_value', detail: 'not JSON' }],
      },
      'lease fails',
      /10\.244\.2\.0-24 is refused: bad_value not JSON/,
    ],
    [
      'the way to the peer leads into the tunnel',
      { route: async () => ({ type: 'unicast', device: 'flannel0' }) },
      'peer fails',
      /into the tunnel itself/,
    ],
    [
      'no probe is answered',
      { peers: () => [peer(2, { probe: { ...probe, lossRatio: 1 } })] },
      'far end fails',
      /100 % of probes lost/,
    ],
  ];
  for (const [what, rest, name, detail] of fails) {
    test(`fails where ${what}, and says what to do`, async () => {
      const found = await trace(rest);
      assert.deepEqual([found.verdict, found.name], ['fails', name]);
      assert.match(found.last.detail, detail);
      assert.notEqual(found.last.cure, '');
    });
  }

  test('warns of a path that carries less than the device', async () => {
    const found = await trace({ peers: () => [peer(2, { probe, pathMtu: 1_400 })] });
    const step = found.steps.find((each) => each.name === 'path MTU')!;
    assert.equal(step.outcome, 'warns');
    assert.match(step.detail, /1400 bytes: packets over 1372 do not fit/);
    assert.equal(found.verdict, 'passes');
  });

  test('leaves pods of this node and strangers to the kernel', async () => {
    const cni = async () => ({ type: 'unicast', device: 'cni0' });
    assert.equal((await trace({ route: cni }, '10.244.1.7')).verdict, 'passes');
    assert.equal((await trace({}, '10.244.1.7')).verdict, 'fails');
    assert.match((await trace({}, '198.51.100.1')).last.detail, /outside the overlay/);
  });
});
