import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { Fault } from '../../../src/agent/fault.ts';
import * as settings from '../../../src/agent/node/settings.ts';
import { Readiness } from '../../../src/agent/readiness.ts';
import { type GivenOptions, readConfig } from '../../../src/config.ts';
import { createLog } from '../../../src/log.ts';
import { makeFolder } from '../../support/maker.ts';
import { waitFor } from '../../support/waitfor.ts';

const { log } = createLog({ level: 'silent', format: 'json' });
const LINES = 'FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.5.1/24\n';

describe("the node's settings", () => {
  let folder: string;
  let path: string;
  let readiness: Readiness;
  let stop: AbortController;

  beforeEach(() => {
    folder = makeFolder('settings');
    path = join(folder, 'subnet.env');
    readiness = new Readiness();
    stop = new AbortController();
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const configure = (given: GivenOptions = { 'subnet-file': [path] }) =>
    readConfig('dataplane', given, {});
  const read = (given?: GivenOptions) =>
    settings.readNodeSettings(configure(given), readiness, log, stop.signal);

  test('come from options without any file', async () => {
    const node = await read({ network: ['10.1.0.0/16'], subnet: ['10.1.5.1/24'] });
    assert.equal(settings.describeNode(node), '10.1.5.0/24 of 10.1.0.0/16');
  });

  test('are waited for while the file is missing, and the wait is told', async () => {
    const reading = read();
    await waitFor('the reason', () => readiness.reasons().length === 1);
    assert.match(
      readiness.reasons()[0]!,
      /waiting for .*subnet\.env: is the control agent running/,
    );
    writeFileSync(`${path}.new`, `${LINES}FLANNEL_MTU=1400\n`);
    renameSync(`${path}.new`, path);
    assert.equal((await reading).mtu, 1400);
    assert.deepEqual(readiness.reasons(), []);
  });

  test('are not waited for once the end is asked for', async () => {
    const reading = read();
    stop.abort();
    await assert.rejects(reading, { name: 'AbortError' });
  });

  test('that make no sense are a fault that names file and lines', async () => {
    writeFileSync(path, 'FLANNEL_NETWORK=10.1.0.0/16\n');
    await assert.rejects(read(), (error: Error) => {
      assert.ok(error instanceof Fault && error.kind === 'configuration');
      assert.match(error.message, /subnet\.env: FLANNEL_SUBNET is missing/);
      return true;
    });
  });

  test('that became others are a fault, for as long as the file makes sense', async () => {
    writeFileSync(path, LINES);
    const node = await read();
    await settings.requireSameNode(configure(), node);
    writeFileSync(path, 'half a li');
    await settings.requireSameNode(configure(), node);
    rmSync(path);
    await settings.requireSameNode(configure(), node);
    writeFileSync(path, LINES.replace('10.1.5.1', '10.1.6.1'));
    await assert.rejects(
      settings.requireSameNode(configure(), node),
      /now says 10\.1\.6\.0\/24 of 10\.1\.0\.0\/16, weft runs with 10\.1\.5\.0\/24/,
    );
  });
});

describe('the MTU', () => {
  const uplink = { name: 'eth0', mtu: 1500, address: 1, publicAddress: 1, reason: '' };
  const cases: [string, number | undefined, number | undefined, number][] = [
    ["is the underlay's less both outer headers", undefined, undefined, 1472],
    ["is the file's if smaller", undefined, 1400, 1400],
    ["is not the file's if that does not fit", undefined, 1500, 1472],
    ['is what was asked for', 1300, 1400, 1300],
    ['is what was asked for, even too large', 9000, undefined, 9000],
  ];
  for (const [what, wanted, fromFile, expected] of cases) {
    test(what, () => assert.equal(settings.chooseMtu(wanted, fromFile, uplink, log), expected));
  }

  test('cannot be below what IPv4 needs', () => {
    const tiny = { ...uplink, mtu: 90 };
    assert.throws(() => settings.chooseMtu(undefined, undefined, tiny, log), /no room for IPv4/);
  });
});

describe('the workers', () => {
  const cases: [number, number][] = [
    [1, 1],
    [4, 1],
    [5, 2],
    [8, 2],
    [9, 4],
    [64, 4],
  ];
  for (const [cores, expected] of cases) {
    test(`are ${expected} each way on ${cores} cores`, () => {
      const { count, reason } = settings.chooseWorkers(undefined, cores);
      assert.deepEqual([count, reason], [expected, cores === 1 ? '1 core' : `${cores} cores`]);
    });
  }

  test('are as many as asked for', () => {
    assert.deepEqual(settings.chooseWorkers(3, 64), { count: 3, reason: '--workers' });
  });
});

describe('the port', () => {
  test('that is taken is a fault, even by one who would share it', async () => {
    const holder = createSocket({ type: 'udp4', reuseAddr: true });
    const port = await new Promise<number>((resolve) => {
      holder.bind(0, '127.0.0.1', () => resolve(holder.address().port));
    });
    const taken = settings.requireFreePort(0x7f000001, port);
    await assert.rejects(
      taken,
      new RegExp(`UDP 127\\.0\\.0\\.1:${port} .* taken by .*this very process`),
    );
    await new Promise<void>((resolve) => holder.close(() => resolve()));
    await settings.requireFreePort(0x7f000001, port);
  });

  test('on an address of nobody is a fault', async () => {
    await assert.rejects(settings.requireFreePort(0xcb007109, 8285), /203\.0\.113\.9:8285/);
  });
});
