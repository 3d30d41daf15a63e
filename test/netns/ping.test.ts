/** Pings of every size between two pods, with and without DF. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { startAll, type Weft, writeLeases } from '../support/node.ts';
import { run, runAside } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';

/** Inner MTU less IPv4 and ICMP headers: ping's -s counts what follows them. */
const LARGEST = 1472 - 28;
/** Pings at once: enough to keep two cores busy. */
const LANES = 8;

describe('ping between pods', () => {
  let topology: Topology;
  let wefts: Weft[] = [];

  before(async () => {
    topology = buildTopology();
    wefts = await startAll(topology, ['--leases', writeLeases(topology), '--workers', '1']);
  });

  after(async () => {
    for (const weft of wefts) await weft.stop();
    topology?.remove();
  });

  /** Pings once with each size from `first` in steps of LANES; prints the sizes that failed. */
  async function sweep(discovery: string, first: number, last: number): Promise<string[]> {
    const script =
      'for size in $(seq "$1" "$2" "$3"); do ' +
      'ping -c1 -W2 -n -q -M "$4" -s "$size" "$5" >/dev/null 2>&1 || echo "$size"; done';
    const [from, to] = topology.nodes;
    const sizes = [String(first), String(LANES), String(last)];
    const argv = ['sh', '-c', script, 'sweep', ...sizes, discovery, to!.pod.address];
    const ran = await runAside(inside(from!.pod.namespace, argv));
    return ran.stdout.split('\n').filter(Boolean);
  }

  for (const [name, discovery] of [
    ['with DF', 'do'],
    ['without DF', 'dont'],
  ] as const) {
    test(`every size from 0 to ${LARGEST} passes ${name}`, async () => {
      const lanes = Array.from({ length: LANES }, (_, lane) => sweep(discovery, lane, LARGEST));
      assert.deepEqual((await Promise.all(lanes)).flat(), []);
    });
  }

  test('one byte over the MTU is refused with DF and fragmented without', async () => {
    assert.deepEqual(await sweep('do', LARGEST + 1, LARGEST + 1), [String(LARGEST + 1)]);
    assert.deepEqual(await sweep('dont', LARGEST + 1, LARGEST + 1), []);
    assert.deepEqual(await sweep('dont', 8000, 8000), []);
  });

  test('pods reach each other from both sides, and nothing was dropped', () => {
    const [from, to] = topology.nodes;
    run(inside(to!.pod.namespace, ['ping', '-c3', '-i0.01', '-W2', from!.pod.address]));
    for (const weft of wefts) {
      assert.deepEqual(weft.metrics().drops('tx'), {});
      assert.deepEqual(weft.metrics().drops('rx'), {});
    }
  });
});
