/** The status page in a real browser, for nodes made of numbers behind the real server. */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import type { Page } from 'playwright-core';
import { RX_UNKNOWN_PEER } from '../../src/dataplane/counters.ts';
import { waitFor } from '../support/waitfor.ts';
import { openWindow, textOf, type Window } from './browser.ts';
import { BLUR, FOCUSED, INK, LEAST_CONTRAST, WIDTH } from './in-page.ts';
import { peersOf, type Shown, showNode, traffic } from './node.ts';

const PEERS = 5_000;
const DEAD = 4_321;
const BUSY = 77;

describe('the status page', () => {
  let window: Window;
  let node: Shown;
  let page: Page;
  const load = traffic();
  const probe = { roundTripMs: null, lossRatio: 1, sent: 20, lastAnswerSeconds: null };
  const peers = peersOf(PEERS, (index) => (index === DEAD ? { probe } : {}));
  const { subnet: deadSubnet } = peers[DEAD]!;

  before(async () => {
    window = await openWindow();
    node = await showNode({
      counters: load.counters,
      peers: () => peers,
      leaseCounts: () => ({ peers: PEERS, refused: {} }),
      probeOff: () => '',
    });
    page = await window.open(node.url);
    await page.locator('#health[data-state=fine]').waitFor();
    await page.locator('#peers-table tbody tr').nth(99).waitFor();
  });
  after(async () => {
    assert.deepEqual(window.complaints, []);
    await window.close();
    node.stop();
  });

  const rows = () => page.locator('#peers-table tbody tr').count();
  const firstRow = async () =>
    (await page.locator('#peers-table tbody tr').first().textContent()) ?? '';

  test('shows the node at a glance', async () => {
    const facts = await textOf(page, 'node');
    for (const part of ['10.244.1.0/24', 'flannel0', '192.0.2.1:8285', 'synced, 5,000 peers']) {
      assert.ok(facts.includes(part), `${part} in ${facts}`);
    }
    assert.match(await textOf(page, 'ladder'), /udp gsooff\S/);
    assert.match(await page.title(), /weft$/);
  });

  test('draws what moves, while it moves', async () => {
    const ink = () => page.evaluate<number>(INK);
    const before = await ink();
    assert.ok(before > 0, 'the plot is empty');
    await waitFor(
      'the traffic on the page',
      async () => {
        load.carry('tx', 2_000);
        load.lose('rx', RX_UNKNOWN_PEER, 20);
        return /Mb\/s/.test(await textOf(page, 'tx-now')) && (await ink()) !== before;
      },
      { every: 200 },
    );
    await waitFor('the loss', async () => /unknown peer/.test(await textOf(page, 'drops')));
    await waitFor('the finding', async () => /Losing/.test(await textOf(page, 'findings')));
  });

  test('names the dead peer among thousands, and draws it broken', async () => {
    await waitFor('the finding', async () => {
      return (await textOf(page, 'findings')).includes(`${deadSubnet} (`);
    });
    const link = page.locator('#topology line.dead');
    assert.equal(await link.count(), 1);
    assert.ok((await page.locator('#topology g.dead title').textContent())?.includes('no answer'));
    assert.match(await textOf(page, 'topology-note'), /4,984 more/);
  });

  test('finds a peer by the search, with keys alone', async () => {
    await page.keyboard.press('/');
    await page.keyboard.type(deadSubnet);
    await waitFor('one row', async () => (await rows()) === 1);
    assert.match(await firstRow(), /✕ no answer/);
    assert.match(await textOf(page, 'peers-count'), /1 of 5,000/);
    await page.keyboard.press('Escape');
    await waitFor('all rows again', async () => (await rows()) === 100);
  });

  test('sorts by what a column is, and shows more when asked', async () => {
    peers[BUSY] = { ...peers[BUSY]!, rxDrops: 1234 };
    const button = page.getByRole('button', { name: 'Lost' });
    await button.focus();
    await page.keyboard.press('Enter');
    await waitFor('the order', async () => (await firstRow()).includes('1,234'));
    assert.equal(await page.locator('th[aria-sort=descending]').textContent(), 'Lost');
    await page.getByRole('button', { name: 'Show 100 more' }).click();
    await waitFor('more rows', async () => (await rows()) === 200);
    assert.match(await textOf(page, 'peers-count'), /first 200 of 5,000/);
  });

  test('is reached by the keyboard from the top to the end', async () => {
    await page.evaluate(BLUR);
    const reached: string[] = [];
    for (let step = 0; step < 40; step++) {
      await page.keyboard.press('Tab');
      reached.push(await page.evaluate<string>(FOCUSED));
    }
    for (const name of ['Skip to peers', 'search', 'Subnet', 'Loss', 'more', '/metrics']) {
      assert.ok(reached.includes(name), `${name} in ${reached.join(' | ')}`);
    }
  });

  for (const dark of [false, true]) {
    const scheme = dark ? 'dark' : 'light';
    test(`fits a phone and can be read, ${scheme}`, async () => {
      const phone = await window.open(node.url, { width: 390, dark });
      await phone.locator('#peers-table tbody tr').first().waitFor();
      const width = await phone.evaluate<number>(WIDTH);
      assert.ok(width <= 390, `${width} px wide`);
      const worst = await phone.evaluate<{ ratio: number; text: string }>(LEAST_CONTRAST);
      assert.ok(worst.ratio >= 4.5, `${worst.ratio.toFixed(2)} of '${worst.text}'`);
      await phone.close();
    });
  }
});
