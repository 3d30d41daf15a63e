import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import type { Backend } from '../../src/agent/backend/backend.ts';
import { Fault } from '../../src/agent/fault.ts';
import { Member } from '../../src/agent/member.ts';
import { Readiness } from '../../src/agent/readiness.ts';
import type { Uplink } from '../../src/agent/uplink.ts';
import type { Config } from '../../src/config.ts';
import type { Lease } from '../../src/lease/lease.ts';
import type { NetworkConfig } from '../../src/lease/network.ts';
import { type LeaseEvents, type LeaseRegistry, NO_LEASE_STATUS } from '../../src/lease/registry.ts';
import type { LeaseSource } from '../../src/lease/source.ts';
import { createLog } from '../../src/log.ts';
import { parsePrefix4 } from '../../src/wire/address.ts';
import { createNamespace, type Namespace } from '../linux/namespace.ts';
import { makeFolder } from '../support/maker.ts';
import { waitFor } from '../support/waitfor.ts';

const UPLINK: Uplink = {
  name: 'eth0',
  mtu: 1500,
  address: 0xc0000201,
  publicAddress: 0xc0000201,
  reason: 'a test',
};
const NETWORK = {
  ipv4: { network: parsePrefix4('10.244.0.0/16')! },
  ipv6: null,
  backend: { type: 'fake', options: {} },
} as unknown as NetworkConfig;
const LEASE = { subnet: parsePrefix4('10.244.7.0/24')! } as unknown as Lease;

/** A member with a store, a source and a backend that do what a test says. */
describe('a member of a network', () => {
  let space: Namespace;
  let folder: string;
  let member: Member;
  let readiness: Readiness;
  let watches: number;
  let trouble: string;
  let failures: Error[];
  let events: LeaseEvents;
  let opening: (ending: AbortSignal) => Promise<void>;
  let uplinks: Uplink[];
  let making: Promise<void>;

  beforeEach(() => {
    space = createNamespace();
    folder = makeFolder('member');
    readiness = new Readiness();
    watches = 0;
    trouble = '';
    failures = [];
    uplinks = [];
    opening = async () => {};
    making = Promise.resolve();
  });
  afterEach(async () => {
    await member.stop();
    space.remove();
    rmSync(folder, { recursive: true });
  });

  function source(): LeaseSource {
    return {
      name: 'a test',
      watch: () => {
        watches += 1;
        return async () => {
          watches -= 1;
        };
      },
    } as unknown as LeaseSource;
  }

  function registry(): LeaseRegistry {
    return {
      name: 'a test',
      findOwn: async () => undefined,
      keep: (_, listener) => {
        events = listener;
        const status = () => ({ ...NO_LEASE_STATUS, trouble });
        return { status, republish: () => {}, stop: async () => {} };
      },
    };
  }

  function backend(ending: AbortSignal): Backend {
    const nothing = async () => {};
    const rest = { setPeers: () => {}, suspend: nothing, close: nothing, reachable: () => true };
    return {
      ...{ type: 'fake', mtu: 1450, attributes: { backendType: 'fake' }, ...rest },
      open: () => opening(ending),
      setUplink: async (uplink: Uplink) => {
        uplinks.push(uplink);
      },
    } as unknown as Backend;
  }

  function create(first = true): Member {
    const config = {
      ...{ resyncSeconds: 3600, subnetFile: join(folder, 'subnet.env'), masquerade: false },
      ...{ renewMarginMinutes: 60, blackholeRoute: false, forwardRules: true, etcdEndpoints: [] },
    } as unknown as Config;
    const { log } = createLog({ level: 'silent', format: 'json' });
    const { run } = space;
    const fake = async ({ ending }: { ending?: AbortSignal }) => {
      await making;
      return backend(ending!);
    };
    return new Member({
      ...{ config, run, readiness, log, first, network: NETWORK, uplink: UPLINK },
      ...{ source: source(), registry: registry(), makers: { fake }, previous: undefined },
      fail: (error) => failures.push(error),
    });
  }

  const start = async (first?: boolean) => {
    member = create(first);
    await member.start(new AbortController().signal);
  };
  const reasons = () => readiness.reasons().join();

  test('follows no leases any more once it is stopped, whatever was under way', async () => {
    let release = () => {};
    let opened = false;
    opening = () => {
      opened = true;
      return new Promise((resolve) => {
        release = resolve;
      });
    };
    await start();
    events.held(LEASE);
    await waitFor('a start under way', () => opened);
    const stopped = member.stop();
    release();
    await stopped;
    assert.equal(watches, 0);
  });

  test('gives up a start under way when it is stopped', async () => {
    let given = false;
    opening = (ending) =>
      new Promise((_, reject) => {
        given = true;
        ending.addEventListener('abort', () => reject(ending.reason));
      });
    await start();
    events.held(LEASE);
    await waitFor('a start under way', () => given);
    await member.stop();
    assert.deepEqual(failures, []);
  });

  test('is not ready while the lease has run out, set up or not', async () => {
    await start();
    trouble = 'the lease has run out';
    events.trouble(trouble);
    events.held(LEASE);
    await waitFor('the watch over leases', () => watches === 1);
    await waitFor('the step', () => readiness.reasons().length === 2);
    assert.match(reasons(), /the lease has run out/);
    trouble = '';
    events.trouble('');
    await waitFor('readiness', () => !reasons().includes('lease has run out'));
  });

  test('takes an uplink that moves before there is a backend', async () => {
    let release = () => {};
    making = new Promise((resolve) => {
      release = resolve;
    });
    member = create();
    const started = member.start(new AbortController().signal);
    const moved = { ...UPLINK, mtu: 1400 };
    member.move(moved);
    release();
    await started;
    await waitFor('the backend to hear of it', () => uplinks.length > 0);
    assert.deepEqual(uplinks, [moved]);
    assert.deepEqual(failures, []);
  });

  test('ends at the first start for what the host refuses, and is told of it later', async () => {
    opening = () => Promise.reject(new Fault('environment', 'a route is in the way'));
    await start(false);
    events.held(LEASE);
    await waitFor('word', () => reasons().includes('a route is in the way'));
    assert.deepEqual(failures, []);
    await member.stop();
    await start(true);
    events.held(LEASE);
    await waitFor('the end', () => failures.length > 0);
  });

  test('ends for a packet thread that hangs, however long it has run', async () => {
    opening = () => Promise.reject(new Fault('hang', 'did not end'));
    await start(false);
    events.held(LEASE);
    await waitFor('the end', () => failures.length > 0);
    assert.match(failures[0]!.message, /did not end/);
  });
});
