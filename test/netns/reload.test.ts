/** SIGHUP at every phase of a node's life: none is lost, and the last network config wins. */
import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { Cluster, PREFIX, readiness } from '../support/cluster.ts';
import { httpGet, type Weft } from '../support/node.ts';
import { createRandom } from '../support/random.ts';
import { waitFor } from '../support/waitfor.ts';

/** Ports tell the configs apart; the last octets of networks do where that changes as well. */
const BACKENDS = [
  { Type: 'udp', Port: 8301 },
  { Type: 'udp', Port: 8302 },
  { Type: 'vxlan', VNI: 5 },
  { Type: 'host-gw' },
  { Type: 'alloc' },
] as const;

const LONG = { every: 50 };

describe('SIGHUP', () => {
  let cluster: Cluster;

  beforeEach(async () => {
    cluster = await Cluster.build({ nodes: 1 });
    await cluster.configure(BACKENDS[0]);
  });
  afterEach(() => cluster.remove());

  const networkConfig = (weft: Weft) => {
    const { body } = httpGet(weft.space.namespace, '/v1/status');
    return JSON.parse(body).networkConfig as { inForce: boolean | null; reason: string };
  };
  const inForce = (weft: Weft) => weft.metrics().sum('weft_network_config_in_force');
  const backendNow = (weft: Weft) =>
    BACKENDS.map(({ Type }) => Type).find(
      (type) => weft.metrics().sum('weft_backend', { type }) === 1,
    );

  async function settledOn(weft: Weft, backend: (typeof BACKENDS)[number], network: string) {
    const what = `${JSON.stringify(backend)} in ${network}`;
    await waitFor(
      what,
      () => {
        const status = JSON.parse(httpGet(weft.space.namespace, '/v1/status').body);
        const port = 'Port' in backend ? status.underlay.port === backend.Port : true;
        return (
          readiness(weft).status === 200 &&
          backendNow(weft) === backend.Type &&
          port &&
          status.lease.network === network &&
          status.networkConfig.inForce === true
        );
      },
      LONG,
    );
  }

  const seeds = process.env.TEST_LONG === '1' ? 30 : 3;
  for (let seed = 1; seed <= seeds; seed++) {
    test(`at any moment, sequence ${seed}: the last config is in force`, async () => {
      const random = createRandom(seed);
      const weft = cluster.launch(cluster.nodes[0]!);
      const { child } = weft.process;
      await waitFor('its signal handlers', () => readiness(weft).status > 0, LONG);
      let backend: (typeof BACKENDS)[number] = BACKENDS[0];
      let network = '10.244.0.0/16';
      for (let step = 0; step < 6; step++) {
        backend = BACKENDS[random.below(BACKENDS.length)]!;
        network = random.below(3) === 0 ? '10.99.0.0/16' : '10.244.0.0/16';
        await cluster.configure(backend, { Network: network });
        child.kill('SIGHUP');
        // From at once to well into the takeover; the state decides nothing, only the order does.
        await new Promise((resolve) => setTimeout(resolve, random.below(600)));
      }
      await settledOn(weft, backend, network);
      assert.equal(weft.process.end, undefined);
    });
  }

  test('during the end is no other end', async () => {
    const weft = await cluster.start(cluster.nodes[0]!);
    weft.process.child.kill('SIGTERM');
    weft.process.child.kill('SIGHUP');
    assert.equal((await weft.process.wait()).code, 0);
  });

  test('while etcd is away is answered when it is back', async () => {
    const weft = await cluster.start(cluster.nodes[0]!);
    await cluster.etcd.put(
      `${PREFIX}/config`,
      JSON.stringify({ Network: '10.244.0.0/16', Backend: BACKENDS[1] }),
    );
    const [member] = cluster.etcd.members;
    await member!.kill();
    weft.process.child.kill('SIGHUP');
    await weft.process.waitForOutput(/the network config in force stays; asking on/);
    await member!.restart();
    await settledOn(weft, BACKENDS[1], '10.244.0.0/16');
  });

  test('forgotten: a config that is not in force is told until it is', async () => {
    const weft = await cluster.start(cluster.nodes[0]!);
    await waitFor('the first look', () => inForce(weft) === 1, LONG);
    await cluster.configure(BACKENDS[2]);
    await waitFor('the look', () => networkConfig(weft).inForce === false, LONG);
    assert.equal(inForce(weft), 0);
    assert.match(networkConfig(weft).reason, /vxlan, in force is .* udp: SIGHUP takes it over/);
    await cluster.etcd.put(`${PREFIX}/config`, '{"Network": "nonsense"}');
    await waitFor('the bad one', () => /cannot be used/.test(networkConfig(weft).reason), LONG);
    await cluster.etcd.delete(`${PREFIX}/config`);
    await waitFor('none', () => /any more/.test(networkConfig(weft).reason), LONG);
    await cluster.configure(BACKENDS[0]);
    await waitFor('the old one again', () => inForce(weft) === 1, LONG);
    assert.equal(readiness(weft).status, 200);
  });
});
