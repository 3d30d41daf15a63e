/** Hostile text in every answer that the page shows: none of it gets into the document raw. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { HOSTILE, rawControls } from '../support/hostile.ts';
import { openWindow } from './browser.ts';
import { peersOf, showNode } from './node.ts';

/** Every text and every attribute that the document has, a line each. */
const EVERYTHING = `[...document.querySelectorAll('*')].flatMap((each) => [
  ...[...each.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent),
  ...[...each.attributes].filter(({ name }) => name !== 'data-drawn').map(({ value }) => value),
]).concat(document.title).map((text) => text.replaceAll('\\n', ' ')).join('\\n')`;

describe('the status page', () => {
  test('shows what others wrote without a control in it', async () => {
    const window = await openWindow();
    const device = { name: HOSTILE, up: false, mtu: 1472, address: HOSTILE };
    const addresses = { address: HOSTILE, publicAddress: HOSTILE };
    const refusal = { key: HOSTILE, reason: HOSTILE, detail: HOSTILE };
    const probe = { roundTripMs: null, lossRatio: 1, sent: 20, lastAnswerSeconds: null };
    const named = { subnet: HOSTILE, publicAddress: HOSTILE, backendType: HOSTILE, probe };
    const node = await showNode({
      command: HOSTILE,
      version: HOSTILE,
      leaseSourceName: HOSTILE,
      device: () => device,
      underlay: () => ({ name: HOSTILE, mtu: 1500, port: 8285, reason: HOSTILE, ...addresses }),
      leaseCounts: () => ({ peers: 1, refused: { [HOSTILE]: 3 } }),
      refusals: () => [refusal],
      leaseStatus: () => {
        const counts = { lastSyncSeconds: 5, resyncs: 0, failures: 0 };
        return { state: 'stale', reason: HOSTILE, ...counts };
      },
      peers: () => peersOf(3, (index) => (index === 1 ? named : {})),
      probeOff: () => HOSTILE,
      notReady: () => [HOSTILE],
    });
    try {
      const page = await window.open(node.url);
      await page.locator('#peers-table tbody tr').nth(2).waitFor();
      await page.locator('#health[data-state=bad]').waitFor();
      const seen = await page.evaluate<string>(EVERYTHING);
      assert.match(seen, /\\u001b\[31mEVIL/, 'it is shown');
      assert.deepEqual(rawControls(seen), []);
    } finally {
      await window.close();
      node.stop();
    }
    assert.deepEqual(window.complaints, []);
  });
});
