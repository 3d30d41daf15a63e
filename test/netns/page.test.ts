/** The status page in a real browser beside a real node: it lives while packets and faults do. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import type { Page } from 'playwright-core';
import { openWindow, textOf, type Window } from '../page/browser.ts';
import { iperf } from '../support/iperf.ts';
import { leasesOf, startAll, Weft, writeLeases } from '../support/node.ts';
import { attempt } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

const NOBODY = { subnet: '10.244.3.0/24', key: '10.244.3.0-24', PublicIP: '192.0.2.33' };

describe('the status page of a node', () => {
  let topology: Topology;
  let window: Window;
  let page: Page;
  let args: string[];
  let wefts: Weft[] = [];

  before(async () => {
    topology = buildTopology();
    const nobody = { [NOBODY.key]: { PublicIP: NOBODY.PublicIP } };
    args = ['--leases', writeLeases(topology, { ...leasesOf(topology.nodes), ...nobody })];
    wefts = await startAll(topology, args);
    window = await openWindow(topology.nodes[0]!.namespace);
    page = await window.open('http://127.0.0.1:8286/');
    await page.locator('#health[data-state=fine]').waitFor();
  });
  after(async () => {
    await window?.close();
    for (const weft of wefts) await weft.stop();
    topology?.remove();
  });

  const shows = (id: string, pattern: RegExp) =>
    waitFor(`${pattern} in #${id}`, async () => pattern.test(await textOf(page, id)), {
      every: 100,
    });

  test('moves with the traffic of pods, without a complaint', async () => {
    const [from, to] = topology.nodes.map((node) => node.pod);
    const flow = iperf({
      client: from!.namespace,
      server: to!.namespace,
      address: to!.address,
      seconds: 4,
    });
    await shows('tx-now', /^\d[\d.]* [MG]b\/s$/);
    await flow;
    await shows('node', /flannel0 up, MTU 1472/);
    await shows('peers-count', /^2 in all$/);
    assert.deepEqual(window.complaints, []);
  });

  test('shows the peer that does not answer', async () => {
    const pod = topology.nodes[0]!.pod;
    attempt(inside(pod.namespace, ['ping', '-c3', '-i0.2', '-W1', '10.244.3.2']));
    await shows('findings', /10\.244\.3\.0\/24 \(192\.0\.2\.33\)/);
    const row = page.locator('#peers-table tbody tr', { hasText: NOBODY.subnet });
    await waitFor('its state', async () =>
      /no answer|silent/.test((await row.textContent()) ?? ''),
    );
  });

  test('says that weft is gone, and goes on when it is back', async () => {
    await wefts[0]!.stop();
    await shows('health', /no answer/);
    await shows('freshness', /does not answer; asking again/);
    wefts[0] = await Weft.start(topology.nodes[0]!, args);
    await shows('health', /ready/);
    await shows('freshness', /^live$/);
    await shows('node', /Up for(now|\d s)/);
    // What the browser itself says of a server that is gone is no fault of the page.
    const own = window.complaints.filter((text) => !/ERR_CONNECTION_REFUSED/.test(text));
    assert.deepEqual(own, []);
  });

  test('says at once why a node is not ready', async () => {
    const { namespace } = topology.nodes[0]!;
    attempt(['ip', '-n', namespace, 'link', 'set', 'flannel0', 'down']);
    await shows('health', /not ready/);
    await shows('findings', /flannel0/);
    attempt(['ip', '-n', namespace, 'link', 'set', 'flannel0', 'up']);
    await shows('health', /✓ ready/);
  });
});
