/** What the page makes of answers, without a browser. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { Recorder } from '../../src/api/answer/history.ts';
import { answerStatus } from '../../src/api/answer/status.ts';
import type { Peer, Status } from '../../src/api/schema.ts';
import { findings, peerState } from '../../src/page/findings.ts';
import * as format from '../../src/page/format.ts';
import { History, SPAN_SECONDS } from '../../src/page/history.ts';
import { apiView } from '../api/view.ts';

describe('numbers on the page', () => {
  const cases: [string, string][] = [
    [format.bits(0), '0 b/s'],
    [format.bits(125), '1.00 kb/s'],
    [format.bits(1_250_000_000), '10.0 Gb/s'],
    [format.bits(124_950_000), '1.00 Gb/s'],
    [format.bytes(999), '999 B'],
    [format.bytes(999_600), '1.00 MB'],
    [format.packetRate(4.93), '4.9/s'],
    [format.packetRate(12_345), '12.3 k/s'],
    [format.short(-1500, 'b/s'), '−1.50 kb/s'],
    [format.count(1_234_567), '1,234,567'],
    [format.percent(0.004), '0.4 %'],
    [format.percent(1), '100 %'],
    [format.duration(59), '59 s'],
    [format.duration(3_600), '60 min'],
    [format.duration(200_000), '2 d'],
    [format.ago(0.2), 'just now'],
    [format.milliseconds(0.234), '0.23 ms'],
    [format.plural(1, 'lease'), '1 lease'],
  ];
  for (const [text, expected] of cases) {
    test(expected, () => assert.equal(text, expected));
  }
});

function status(rest: Partial<Status> = {}): Status {
  const view = apiView();
  return { ...answerStatus(view, new Recorder(view)), ...rest };
}

describe('history', () => {
  const flow = (status: Status, bytes: number, dropped = 0) => ({ ...status.tx, bytes, dropped });
  const at = (nowSeconds: number, bytes: number, dropped = 0) =>
    status({ nowSeconds, tx: flow(status(), bytes, dropped) });

  test('turns counters into rates, a hole and a restart into nothing', () => {
    const history = new History();
    const samples = [at(10, 0), at(11, 1000, 3), at(30, 9000), at(31, 50), at(32, 175)];
    for (const one of samples) history.add(one);
    const { txBits, txDrops } = history.columns();
    assert.deepEqual(txBits, [8000, null, null, 1000]);
    assert.equal(txDrops[0], 3);
  });

  test('goes on where the memory of the server ends, and forgets what is old', () => {
    const history = new History();
    const rest = { txPackets: 0, txDrops: 0, rxPackets: 0, rxBytes: 0, rxDrops: 0 };
    history.load([10, 11, 12].map((seconds) => ({ atSeconds: seconds, txBytes: 100, ...rest })));
    history.add(at(13, 225));
    assert.deepEqual(history.columns().txBits, [0, 0, 1000]);
    for (let now = 14; now < SPAN_SECONDS * 2; now++) history.add(at(now, 225));
    assert.ok(history.columns().at.length <= SPAN_SECONDS + 6);
  });
});

const PEER: Peer = {
  ...{ subnet: '10.244.2.0/24', publicAddress: '192.0.2.2', backendType: 'udp' },
  ...{ txPackets: null, txBytes: null, rxPackets: null, rxBytes: null },
  ...{ txBytesPerSecond: null, rxBytesPerSecond: null, txDrops: null, rxDrops: null },
  ...{ lastSeenSeconds: null, pathMtu: null, probe: null },
};
const probe = (lossRatio: number, sent = 10) => {
  return { roundTripMs: null, lossRatio, sent, lastAnswerSeconds: null };
};

describe('the state of a peer', () => {
  const cases: [string, Partial<Peer>][] = [
    ['unknown', {}],
    ['unknown', { txPackets: 0 }],
    ['unknown', { probe: probe(1, 0) }],
    ['fine', { lastSeenSeconds: 950 }],
    ['quiet', { txPackets: 5, lastSeenSeconds: 900 }],
    ['quiet', { txPackets: 5 }],
    ['dead', { probe: probe(1), lastSeenSeconds: 999 }],
    ['lossy', { probe: probe(0.2) }],
    ['fine', { probe: probe(0.01) }],
  ];
  for (const [state, rest] of cases) {
    test(`${JSON.stringify(rest)} is ${state}`, () => {
      assert.equal(peerState({ ...PEER, ...rest }, 1000), state);
    });
  }
});

describe('findings', () => {
  const texts = (rest: Partial<Status>, worst: readonly Peer[] = []) =>
    findings(status(rest), worst).map(({ level, text }) => `${level} ${text}`);
  const well = status();
  const offloads = well.offloads.map((offload) => ({ ...offload, inForce: true }));

  test('are none where all is well', () => {
    assert.deepEqual(texts({ offloads }), []);
  });

  test('name a node that is not ready, first of all', () => {
    const health = { ...well.health, ready: false, notReady: ['flannel0 is down'] };
    assert.deepEqual(texts({ health })[0], 'bad flannel0 is down');
  });

  const cases: [RegExp, Partial<Status>, Peer?][] = [
    [/^bad MTU 1500 of flannel0 does not fit/, { device: { ...well.device!, mtu: 1500 } }],
    [
      /^warn Leases are not current.*: connection refused$/,
      { leaseSource: { ...well.leaseSource, state: 'stale', reason: 'connection refused' } },
    ],
    [
      /^warn 2 leases refused: duplicate subnet$/,
      { leaseSource: { ...well.leaseSource, refused: { duplicate_subnet: 2, other_backend: 9 } } },
    ],
    [
      /^warn Losing 12\/s in: unknown peer$/,
      { drops: well.drops.map((d) => (d.reason === 'unknown_peer' ? { ...d, perSecond: 12 } : d)) },
    ],
    [
      /^warn Out worker 0 is 97 % busy$/,
      { workers: [{ ...well.workers[0]!, direction: 'tx', busyRatio: 0.97 }] },
    ],
    [/^note 3 offloads not in force$/, {}],
    [/^bad 10.244.2.0\/24 \(192.0.2.2\) does not answer$/, {}, { ...PEER, probe: probe(1) }],
    [/^warn Nothing comes back from 10.244.2.0\/24/, {}, { ...PEER, txPackets: 9 }],
    [/^warn 30 % of the probes to 10.244.2.0\/24/, {}, { ...PEER, probe: probe(0.3) }],
  ];
  for (const [pattern, rest, peer] of cases) {
    test(String(pattern), () => {
      const found = texts(rest, peer === undefined ? [] : [peer]);
      assert.ok(
        found.some((text) => pattern.test(text)),
        found.join('\n'),
      );
    });
  }
});
