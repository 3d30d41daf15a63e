import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import fc from 'fast-check';
import { PeerSeries, type PeerTraffic, peerMetrics } from '../../src/observe/peer-metrics.ts';

const subnetOf = (index: number) => `10.244.${index}.0/24`;

/** A peer whose counters are all told apart. */
function peer(index: number, packets: number, rest: Partial<PeerTraffic> = {}): PeerTraffic {
  const counts = { txPackets: packets, txBytes: packets * 100, txDrops: packets + 1 };
  const back = { rxPackets: packets * 2, rxBytes: packets * 300, rxDrops: 0 };
  return { subnet: subnetOf(index), ...counts, ...back, ...rest };
}

/** One scrape, as `name{label="value"}` → value. */
function scrape(series: PeerSeries): Map<string, number> {
  const values = new Map<string, number>();
  for (const { name, read } of peerMetrics(series)) {
    for (const { labels, value } of read()) {
      const text = Object.entries(labels).map(([label, of]) => `${label}="${of}"`);
      values.set(`${name}{${text.join()}}`, value);
    }
  }
  return values;
}

const packets = (values: Map<string, number>, name: string) =>
  values.get(`weft_peer_packets_total{peer="${name}",direction="tx"}`);

describe('metrics of peers', () => {
  test('show each peer, and only what is known of it', () => {
    const probe = { roundTripMs: 1.5, lossRatio: 0.25 };
    const peers = [
      peer(1, 10, { lastSeenSeconds: 77, pathMtu: 1400, probe }),
      { subnet: subnetOf(2) },
    ];
    const values = scrape(new PeerSeries(5, () => peers));
    const one = `peer="${subnetOf(1)}"`;
    assert.equal(values.get(`weft_peer_bytes_total{${one},direction="rx"}`), 3000);
    assert.equal(values.get(`weft_peer_dropped_packets_total{${one},direction="tx"}`), 11);
    assert.equal(values.get(`weft_peer_last_seen_timestamp_seconds{${one}}`), 77);
    assert.equal(values.get(`weft_peer_path_mtu_bytes{${one}}`), 1400);
    assert.equal(values.get(`weft_peer_round_trip_seconds{${one}}`), 0.0015);
    assert.equal(values.get(`weft_peer_loss_ratio{${one}}`), 0.25);
    assert.deepEqual(
      [...values.keys()].filter((key) => key.includes(subnetOf(2))),
      [],
    );
    assert.equal(packets(values, 'other'), 0);
  });

  test('keep to the cap, and add the rest up as other', () => {
    const peers = Array.from({ length: 5000 }, (_, index) => ({
      ...peer(0, 1),
      subnet: `10.${index >> 8}.${index & 255}.0/24`,
    }));
    const values = scrape(new PeerSeries(10, () => peers));
    assert.ok(values.size <= 10 * 10 + 6, `${values.size} series`);
    assert.equal(packets(values, 'other'), 4990);
  });

  test('keep the same peers by name after a restart, whatever their order', () => {
    const peers = [3, 1, 2].map((index) => peer(index, index));
    const named = (all: readonly PeerTraffic[]) =>
      [...scrape(new PeerSeries(2, () => all)).keys()].filter((key) => key.includes('10.244'));
    assert.deepEqual(named(peers).sort(), named([...peers].reverse()).sort());
  });

  test('never let a counter of other go down, whoever comes and goes', () => {
    const step = fc.uniqueArray(fc.nat(7), { maxLength: 8 });
    const seed = Number(process.env.TEST_SEED ?? 20_261_123);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.nat(4), (steps, cap) => {
        let present: PeerTraffic[] = [];
        const counts = new Array<number>(8).fill(0);
        const series = new PeerSeries(cap, () => present);
        let before = 0;
        for (const indices of steps) {
          for (let index = 0; index < 8; index++) {
            // A peer that left comes back with counters at 0.
            counts[index] = indices.includes(index) ? counts[index]! + index : 0;
          }
          present = indices.map((index) => peer(index, counts[index]!));
          const values = scrape(series);
          const other = packets(values, 'other')!;
          assert.ok(other >= before, `${before} → ${other}`);
          const named = present.filter(({ subnet }) => packets(values, subnet) !== undefined);
          assert.ok(named.length <= cap);
          before = other;
        }
      }),
      { seed, numRuns: 300 },
    );
  });

  test('add up to what all peers carried while none leaves', () => {
    let present = [1, 2, 3, 4].map((index) => peer(index, index));
    const series = new PeerSeries(2, () => present);
    scrape(series);
    present = [1, 2, 3, 4].map((index) => peer(index, index * 10));
    const values = scrape(series);
    const names = [subnetOf(1), subnetOf(2), 'other'];
    assert.deepEqual(
      names.map((name) => packets(values, name)),
      [10, 20, 70],
    );
  });
});
