/** What every backend must do, with real namespaces: one list for all of them. */
import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { formatLeaseValue, type Lease, parseLeaseValue } from '../../src/lease/lease.ts';
import { parseAddress4, parsePrefix4 } from '../../src/wire/address.ts';
import { waitFor } from '../support/waitfor.ts';
import {
  buildRig,
  type Options,
  type Rig,
  type RigNode,
  reaches,
  waitUntilReached,
  within,
} from './backend/rig.ts';

/** Something that others do to a node's kernel, as lines of `ip -batch`. */
export type Deed = readonly [what: string, batch: string];

/** What is the backend's own about the cases. */
export interface BackendCases {
  readonly type: string;
  readonly options?: Options;
  /** The lease value that node 1 publishes, byte for byte, once its MAC address is known. */
  readonly value: (node: RigNode) => string;
  readonly mtu: number;
  /** A lease of this type that no kernel takes, under that subnet; and what is said of it. */
  readonly stuck: (key: string) => { readonly lease: Lease; readonly reason: RegExp };
  /** Taken away from node 1, whose only peers are 2 and 3; each comes back. */
  readonly losses: readonly Deed[];
  /** Entries of others on node 1, which must outlive whatever the backend does. */
  readonly foreign: readonly Deed[];
}

/** Three nodes, each with its backend open and without peers, anew for each case. */
class Stage {
  readonly cases: BackendCases;
  private rig: Rig | undefined;

  constructor(cases: BackendCases) {
    this.cases = cases;
  }

  async build(): Promise<void> {
    this.rig = await buildRig(this.cases.type, this.cases.options ?? {}, { nodes: 3 });
    for (const node of this.rig.nodes) await node.start();
  }

  async remove(): Promise<void> {
    await this.rig?.remove();
    this.rig = undefined;
  }

  get nodes(): readonly [RigNode, RigNode, RigNode] {
    return this.rig!.nodes as [RigNode, RigNode, RigNode];
  }

  /** Everybody learns of everybody. */
  introduce(): void {
    this.rig!.introduce();
  }

  /** Everybody knows and reaches everybody. */
  async settle(): Promise<void> {
    this.introduce();
    for (const node of this.nodes) await node.programmed(2);
    const [first, second, third] = this.nodes;
    await waitUntilReached(first, second);
    await waitUntilReached(first, third);
  }
}

export function backendCases(cases: BackendCases): void {
  describe(`the ${cases.type} backend`, () => {
    const stage = new Stage(cases);
    beforeEach(() => stage.build());
    afterEach(() => stage.remove());
    comingAndGoing(stage);
    trouble(stage);
    takingOver(stage);
    restoring(stage);
  });
}

/** Peers appear, move and go. */
function comingAndGoing(stage: Stage): void {
  const { cases } = stage;

  test('publishes what flannel publishes, and says its MTU', () => {
    const [first] = stage.nodes;
    assert.equal(formatLeaseValue(first.own), cases.value(first));
    assert.equal(first.backend.mtu, cases.mtu);
    assert.equal(first.backend.reachable(cases.type), true);
    assert.equal(first.backend.reachable(''), cases.type === 'udp');
  });

  test('reaches pods of peers that appear, and of no other', async () => {
    const [first, second, third] = stage.nodes;
    assert.equal(await reaches(first, second), false);
    first.backend.setPeers([second.own]);
    second.backend.setPeers([first.own]);
    await waitUntilReached(first, second);
    assert.equal(await reaches(first, third), false);
    await stage.settle();
  });

  test('follows a peer to another address', async () => {
    const [first, second, third] = stage.nodes;
    await stage.settle();
    second.ip('addr del 192.0.2.2/24 dev eth0\naddr add 192.0.2.22/24 dev eth0\n');
    const uplink = await second.uplink();
    await second.backend.setUplink(uplink);
    await second.open(uplink);
    assert.equal(second.own.publicAddress, parseAddress4('192.0.2.22'));
    stage.introduce();
    await waitUntilReached(first, second);
    await waitUntilReached(second, third);
  });

  test('leaves nothing of a peer that goes', async () => {
    const [first, second, third] = stage.nodes;
    const before = first.traces();
    await stage.settle();
    first.backend.setPeers([third.own]);
    await waitFor('no trace of node 2', () => !/10\.244\.2\.|192\.0\.2\.2$/m.test(first.traces()));
    assert.equal(await reaches(first, second), false);
    assert.ok(await reaches(first, third));
    first.backend.setPeers([]);
    await waitFor('no trace', () => first.traces() === before);
  });

  test('a lease of another length comes and goes as any other', async () => {
    const [first, second] = stage.nodes;
    const before = first.traces();
    const subnet = parsePrefix4('10.244.128.0/20')!;
    first.backend.setPeers([{ ...second.own, key: '10.244.128.0-20', subnet }]);
    await waitFor('its route', () => first.traces().includes('10.244.128.0/20'));
    first.backend.setPeers([]);
    await waitFor('no trace', () => first.traces() === before);
  });
}

/** What cannot be programmed is named, and is nobody else's trouble. */
function trouble(stage: Stage): void {
  const { cases } = stage;

  test('names a peer that cannot be programmed, which holds up no other', async () => {
    const [first, second] = stage.nodes;
    const { lease, reason } = cases.stuck('10.244.99.0-24');
    second.backend.setPeers([first.own]);
    first.backend.setPeers([lease, second.own]);
    await waitUntilReached(first, second);
    const failure = await waitFor('the failure', () => first.backend.status().failures[0]);
    assert.equal(failure.subnet, '10.244.99.0/24');
    assert.match(failure.reason, reason);
    assert.deepEqual(first.readiness.reasons(), []);
    const { peers, programmed, failing } = first.backend.status();
    assert.deepEqual({ peers, programmed, failing }, { peers: 2, programmed: 1, failing: 1 });
    assert.match(first.said.join(''), /10\.244\.99\.0\/24 cannot be programmed/);
    first.backend.setPeers([second.own]);
    await waitFor('the end of it', () => first.backend.status().failing === 0);
  });

  test('is not ready when no peer can be programmed', async () => {
    const [first, second] = stage.nodes;
    first.backend.setPeers([cases.stuck('10.244.99.0-24').lease]);
    await waitFor('not ready', () => first.readiness.reasons().length === 1);
    assert.match(first.readiness.reasons()[0]!, /none of 1 peers/);
    first.backend.setPeers([second.own]);
    await waitFor('ready again', () => first.readiness.reasons().length === 0);
  });

  test('does not replace a route of others, and names it', async () => {
    const [first, second, third] = stage.nodes;
    first.ip('route add blackhole 10.244.2.0/24 proto static\n');
    stage.introduce();
    const failure = await waitFor('the failure', () => first.backend.status().failures[0]);
    assert.match(failure.reason, /another route.*'blackhole 10\.244\.2\.0\/24'.*ip route delete/);
    await waitUntilReached(first, third);
    within(first, ['ip', 'route', 'delete', 'blackhole', '10.244.2.0/24']);
    await waitUntilReached(first, second);
  });
}

/** Restarts, suspension, and what belongs to others. */
function takingOver(stage: Stage): void {
  const { cases } = stage;

  test('a restart takes over: packets flow, and who left meanwhile is forgotten', async () => {
    const [first, second] = stage.nodes;
    await stage.settle();
    const value = formatLeaseValue(first.own);
    const before = first.traces();
    await first.stop();
    assert.ok(await reaches(first, second), 'the end of weft must not end the network');
    await first.start();
    assert.ok(await reaches(first, second), 'peers are not known yet, and still reached');
    assert.equal(formatLeaseValue(first.own), value);
    assert.equal(first.traces(), before);
    first.backend.setPeers([second.own]);
    await waitFor('node 3 to be forgotten', () => {
      return !/10\.244\.3\.|192\.0\.2\.3\b/.test(first.traces());
    });
    assert.ok(await reaches(first, second));
    assert.equal(first.backend.status().repairs, 0, 'nobody had taken anything away');
  });

  test('leaves alone what others have set', async () => {
    const [first] = stage.nodes;
    const foreign = cases.foreign.map(([, batch]) => batch).join('\n');
    first.ip(`${foreign}\n`);
    const before = first.traces();
    await stage.settle();
    first.backend.setPeers([]);
    await waitFor('no peers', () => first.backend.status().programmed === 0);
    await waitFor('only foreign entries', () => first.traces() === before);
    await first.stop();
    await first.start();
    first.backend.setPeers([]);
    await waitFor('a look', () => first.backend.status().reconciles > 0);
    assert.equal(first.traces(), before);
  });

  test('forwards nothing while suspended, and goes on with another subnet', async () => {
    const [first, second] = stage.nodes;
    await stage.settle();
    await first.backend.suspend();
    assert.equal(await reaches(first, second), false);
    assert.doesNotMatch(first.traces(), /10\.244\.2\.|dst 192\.0\.2\.2/);
    await first.open(await first.uplink(), '10.244.7.0/24');
    second.backend.setPeers([first.own]);
    first.ip('addr add 10.244.7.1/24 dev cni0\n');
    await waitUntilReached(second, '10.244.7.1');
  });
}

/** What others take away comes back. */
function restoring(stage: Stage): void {
  const { cases } = stage;

  for (const [what, batch] of cases.losses) {
    test(`restores ${what}`, async () => {
      const [first, second, third] = stage.nodes;
      await stage.settle();
      const value = formatLeaseValue(first.own);
      const before = first.traces();
      const links = describeLinks(first);
      first.ip(`${batch}\n`);
      await waitFor('everything as it was', () => {
        return first.traces() === before && describeLinks(first) === links;
      });
      await waitUntilReached(first, second);
      await waitUntilReached(first, third);
      await waitFor('word of it', () => first.said.some((line) => line.includes('restored')));
      assert.ok(first.backend.status().repairs > 0);
      assert.equal(formatLeaseValue({ ...first.own, ...first.backend.attributes }), value);
    });
  }
}

/** Names, MTUs and addresses of all links; what the kernel numbers anew is left out. */
function describeLinks(node: RigNode): string {
  const links = JSON.parse(within(node, ['ip', '-json', 'address', 'show'])) as {
    ifname: string;
    mtu: number;
    address?: string;
    flags: string[];
    addr_info: { family: string; local: string; prefixlen: number }[];
  }[];
  return links
    .filter(({ ifname }) => ifname !== 'lo')
    .map(({ ifname, mtu, address, flags, addr_info }) => {
      const own = addr_info.filter(({ family }) => family === 'inet');
      const addresses = own.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
      return `${ifname} ${mtu} ${address} ${flags.includes('UP')} ${addresses}`;
    })
    .sort()
    .join('\n');
}

/** A peer's lease as it would be read from the store. */
export function leaseOf(key: string, value: string): Lease {
  const [network, length] = key.split('-');
  const attributes = parseLeaseValue(value);
  assert.ok(attributes.ok);
  return { key, subnet: parsePrefix4(`${network}/${length}`)!, ...attributes.value };
}
