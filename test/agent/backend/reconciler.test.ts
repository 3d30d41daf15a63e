/** When the reconciler looks, and when the old way may go. */
import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe, mock } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import {
  type Driver,
  Reconciler,
  type Sight,
} from '../../../src/agent/backend/reconcile/reconciler.ts';
import { Readiness } from '../../../src/agent/readiness.ts';
import { CommandError } from '../../../src/linux/command.ts';
import { formatPrefix4 } from '../../../src/wire/address.ts';
import { leaseOf } from '../backend.cases.ts';

const leases = ['10.244.2.0-24', '10.244.3.0-24'].map((key) =>
  leaseOf(key, '{"PublicIP":"192.0.2.2","BackendType":"host-gw"}'),
);

describe('the reconciler', () => {
  let now: number;
  let looks: number;
  let settled: number;
  let outage: boolean;
  /** What of a batch fails. */
  let refused: RegExp;
  let reconciler: Reconciler<Sight>;

  const driver: Driver<Sight> = {
    device: 'eth0',
    ensure: async () => {
      looks += 1;
      if (outage) throw new Error('uplink eth0 is down');
      return [];
    },
    look: async () => ({ found: [], ground: '' }),
    want: (wanted) => ({
      entries: wanted.map(({ subnet }) => {
        const owner = formatPrefix4(subnet);
        return { table: 'route', key: owner, value: 'via 192.0.2.2 dev eth0', owner };
      }),
      refused: new Map(),
    }),
    settled: async () => {
      settled += 1;
    },
  };

  async function run(argv: readonly string[], input = ''): Promise<string> {
    const lines = input.split('\n');
    const stderr = lines
      .map((line, at) => (refused.test(line) ? `no\nCommand failed -:${at + 1}\n` : ''))
      .join('');
    if (stderr !== '') throw new CommandError(argv, 'no', '', { code: 1, stderr });
    return '';
  }

  /** Lets time pass and everything that is due in it happen. */
  async function pass(milliseconds: number): Promise<void> {
    for (let left = milliseconds; left > 0; left -= 50) {
      now += 50;
      mock.timers.tick(50);
      for (let turns = 0; turns < 3; turns++) await turn();
    }
  }

  beforeEach(() => {
    [now, looks, settled, outage, refused] = [1_000, 0, 0, false, /never/];
    mock.timers.enable({ apis: ['setTimeout'] });
    mock.method(performance, 'now', () => now);
    const log = pino({ level: 'silent' });
    reconciler = new Reconciler({ driver, run, log, readiness: new Readiness() });
  });
  afterEach(async () => {
    await reconciler.deactivate();
    mock.timers.reset();
    mock.restoreAll();
  });

  test('backs off while looks fail, although a peer is due', async () => {
    refused = /10\.244\.3\.0/;
    reconciler.setPeers(leases);
    reconciler.activate();
    await pass(500);
    assert.equal(reconciler.status().failing, 1);
    outage = true;
    looks = 0;
    await pass(60_000);
    assert.ok(looks >= 4 && looks <= 8, `${looks} looks in a minute of outage`);
    outage = false;
    refused = /never/;
    await pass(31_000);
    assert.equal(reconciler.status().programmed, 2, 'and finds its way back');
  });

  test('keeps the old way until a first peer is programmed by the new one', async () => {
    refused = /10\.244\./;
    reconciler.setPeers(leases);
    reconciler.activate();
    await pass(5_000);
    assert.deepEqual([reconciler.status().failing, settled], [2, 0]);
    refused = /10\.244\.3\.0/;
    await pass(10_000);
    assert.deepEqual([reconciler.status().failing, settled], [1, 1]);
    refused = /never/;
    await pass(60_000);
    assert.equal(settled, 1, 'once');
  });

  test('ends the old way when there are no peers', async () => {
    reconciler.setPeers([]);
    reconciler.activate();
    await pass(500);
    assert.equal(settled, 1);
  });
});
