/** The vxlan device: made, taken over or made anew; its MAC address, its MTU, what is refused. */
import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { pino } from 'pino';
import { type Backend, createBackend } from '../../../src/agent/backend/backend.ts';
import { Fault } from '../../../src/agent/fault.ts';
import { Readiness } from '../../../src/agent/readiness.ts';
import type { Lease } from '../../../src/lease/lease.ts';
import type { BackendOptions } from '../../../src/lease/network/backend.ts';
import { parseNetworkConfig } from '../../../src/lease/network.ts';
import { findLink, type Link } from '../../../src/linux/link.ts';
import { parseAddress4, parsePrefix4 } from '../../../src/wire/address.ts';
import { createNamespace, type Namespace } from '../../linux/namespace.ts';
import { run } from '../../support/process.ts';
import { waitFor } from '../../support/waitfor.ts';
import { leaseOf } from '../backend.cases.ts';

const MAC = '0a:58:0a:f4:01:00';
const ADD = `link add flannel.1 address ${MAC} mtu 1450 type vxlan id 1`;
const PLAIN = `${ADD} dev eth0 local 192.0.2.1 dstport 8472 nolearning`;

const uplink = {
  name: 'eth0',
  mtu: 1500,
  address: parseAddress4('192.0.2.1')!,
  publicAddress: parseAddress4('192.0.2.1')!,
  reason: 'test',
};
const OWN = {
  subnet: parsePrefix4('10.244.1.0/24')!,
  network: parsePrefix4('10.244.0.0/16')!,
  publicAddress: uplink.address,
};

describe('the vxlan device', () => {
  let space: Namespace;
  let said: string[];
  let open: Backend[];

  beforeEach(() => {
    space = createNamespace();
    space.ip(`link set lo up
link add eth0 type veth peer name eth1
address add 192.0.2.1/24 dev eth0
link set eth0 up
link set eth1 up
`);
    said = [];
    open = [];
  });
  afterEach(async () => {
    for (const backend of open) await backend.close();
    space.remove();
  });

  async function start(options: Record<string, unknown> = {}, previous?: Lease): Promise<Backend> {
    const backend = await createBackend('vxlan', {
      run: space.run,
      prefix: ['ip', 'netns', 'exec', space.name],
      uplink,
      options: optionsOf(options),
      previous,
      log: pino({ base: null }, { write: (line: string) => void said.push(line) }),
      readiness: new Readiness(),
      republish: () => {},
    });
    open.push(backend);
    return backend;
  }

  async function device(name = 'flannel.1'): Promise<Link> {
    const found = await findLink(space.run, name);
    assert.ok(found, `no ${name}`);
    return found;
  }

  async function refused(kind: Fault['kind'], message: RegExp, options = {}): Promise<void> {
    await assert.rejects(start(options), (error: Error) => {
      assert.ok(error instanceof Fault, String(error));
      assert.equal(error.kind, kind);
      assert.match(error.message, message);
      return true;
    });
  }

  test('is made as flannel makes it, and down until a lease is held', async () => {
    const backend = await start();
    const { vxlan, mtu, up, addresses, macAddress } = await device();
    assert.deepEqual(vxlan, {
      ...{ vni: 1, link: 'eth0', local: '192.0.2.1', port: 8472 },
      ...{ learning: false, groupPolicy: false },
    });
    assert.deepEqual({ mtu, up, addresses }, { mtu: 1450, up: false, addresses: [] });
    assert.equal(backend.attributes.backendData, `{"VNI":1,"VtepMAC":"${macAddress}"}`);
    assert.match(macAddress!, /^.[26ae](?::..){5}$/, 'of local administration, one station');
  });

  test('is made by the options, in any case', async () => {
    const options = { vni: 42, PORT: 4789, Mtu: 1400, GBP: true, learning: true };
    const backend = await start({ ...options, DirectRouting: true, Extra: 1 });
    const { vxlan, mtu } = await device('flannel.42');
    assert.deepEqual(vxlan, {
      ...{ vni: 42, link: 'eth0', local: '192.0.2.1', port: 4789 },
      ...{ learning: true, groupPolicy: true },
    });
    assert.equal(mtu, 1350);
    assert.equal(backend.mtu, 1350);
  });

  test('is taken over with its MAC address, and its MTU set right in place', async () => {
    space.ip(`${PLAIN.replace('1450', '1300')}\n`);
    const { index } = await device();
    const backend = await start({}, leaseOf('10.244.1.0-24', published('0a:00:00:00:00:77')));
    const now = await device();
    assert.equal(now.index, index);
    assert.equal(now.mtu, 1450);
    assert.equal(backend.attributes.backendData, `{"VNI":1,"VtepMAC":"${MAC}"}`);
  });

  const differences: [string, string, string][] = [
    ['port', PLAIN.replace('8472', '4789'), 'port 4789 instead of 8472'],
    ['link', PLAIN.replace('dev eth0', 'dev eth1'), 'link eth1 instead of eth0'],
    ['local', PLAIN.replace('.2.1', '.2.7'), 'local 192\\.0\\.2\\.7 instead of 192\\.0\\.2\\.1'],
    ['learning', PLAIN.replace('nolearning', 'learning'), 'learning true instead of false'],
    ['policy', `${PLAIN} gbp`, 'groupPolicy true instead of false'],
    ['VNI', PLAIN.replace('id 1', 'id 9'), 'vni 9 instead of 1'],
    ['life of outer packets', `${PLAIN} ttl 1`, 'ttl 1 set'],
    ['type of service', `${PLAIN} tos 0x10`, 'tos 0x10 set'],
    ['word on fragments', `${PLAIN} df set`, 'df set set'],
    ['destination by default', `${PLAIN} remote 192.0.2.9`, 'remote 192\\.0\\.2\\.9 set'],
    ['group', `${PLAIN} group 239.1.1.1`, 'group 239\\.1\\.1\\.1 set'],
    ['way of answering', `${PLAIN} proxy rsc`, 'proxy, rsc set'],
    ['checksum', `${PLAIN} remcsumtx remcsumrx`, 'remcsum_tx, remcsum_rx set'],
    ['number of entries', `${PLAIN} maxaddress 1`, 'limit 1 set'],
    ['source of destinations', `${PLAIN.replace('id 1 ', '')} external`, 'external set'],
  ];
  for (const [what, batch, reason] of differences) {
    test(`of another ${what} is made anew under the same MAC address`, async () => {
      space.ip(`${batch}\n`);
      const { index } = await device();
      await start();
      const now = await device();
      assert.notEqual(now.index, index);
      assert.equal(now.macAddress, MAC);
      assert.match(said.join(''), new RegExp(reason));
    });
  }

  test('on which something hangs is made anew under the same MAC address', async () => {
    space.ip(`${PLAIN}\nlink set flannel.1 up\n`);
    await space.run(['tc', 'qdisc', 'add', 'dev', 'flannel.1', 'root', 'blackhole']);
    const { index } = await device();
    const backend = await start();
    const now = await device();
    assert.notEqual(now.index, index);
    assert.equal(now.macAddress, MAC);
    assert.match(said.join(''), /flannel\.1 was there with qdisc blackhole.*made anew/);
    await backend.open(OWN);
    await space.run(['tc', 'qdisc', 'add', 'dev', 'flannel.1', 'root', 'blackhole']);
    // It may be wanted: it stays, and is told.
    const told = () => /carries qdisc blackhole.*tc qdisc delete dev flannel\.1 root/;
    await waitFor('the warning', () => told().test(said.join('')));
    assert.equal((await device()).index, now.index);
  });

  test('gets the MAC address back that the lease says, if it is gone', async () => {
    await start({}, leaseOf('10.244.1.0-24', published(MAC.toUpperCase().replaceAll(':', '-'))));
    assert.equal((await device()).macAddress, MAC);
  });

  test('is not given the MAC address of another backend, or one of many stations', async () => {
    const value = '{"PublicIP":"192.0.2.1","BackendType":"host-gw"}';
    await start({}, leaseOf('10.244.1.0-24', value));
    const first = (await device()).macAddress;
    space.ip('link delete flannel.1\n');
    await start({}, leaseOf('10.244.1.0-24', published('01:00:5e:00:00:01')));
    assert.notEqual((await device()).macAddress, '01:00:5e:00:00:01');
    assert.notEqual((await device()).macAddress, first);
  });

  test('of another kind is refused, and left alone', async () => {
    space.ip('link add flannel.1 type bridge\n');
    await refused('environment', /flannel\.1 exists and is of kind bridge.*ip link delete/);
    assert.equal((await device()).kind, 'bridge');
  });

  test('is refused by name where another has VNI and port', async () => {
    space.ip(`${PLAIN.replace('flannel.1', 'overlay7')}\n`);
    await refused('environment', /flannel\.1 cannot be made: overlay7 has VNI 1 on port 8472/);
  });

  test('is not larger than the uplink carries, and that is said', async () => {
    const backend = await start({ MTU: 9000 });
    assert.equal(backend.mtu, 1450);
    assert.equal((await device()).mtu, 1450);
    assert.match(said.join(''), /MTU 9000 .* is more than the 1500 of eth0: taking 1500/);
    await refused('environment', /no room.*100 less 50/, { MTU: 100 });
  });

  test('gets the address of the lease; others inside Network go, foreign ones stay', async () => {
    space.ip(`${PLAIN}
address add 10.244.9.0/32 dev flannel.1
address add 198.51.100.1/32 dev flannel.1
`);
    const backend = await start();
    await backend.open(OWN);
    const { addresses, up } = await device();
    const own = addresses.filter(({ family }) => family === 'inet');
    const texts = own.map(({ local, prefixLength }) => `${local}/${prefixLength}`);
    assert.deepEqual(texts.sort(), ['10.244.1.0/32', '198.51.100.1/32']);
    assert.equal(up, true);
  });

  test('listens to no router on the overlay, and forwards where the host does', () => {
    space.ip(`${PLAIN}\n`);
    const inSpace = (...argv: string[]) => run(['ip', 'netns', 'exec', space.name, ...argv]);
    inSpace('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.flannel/1.forwarding=0');
    // In a process of its own, for /proc/sys shows the reader's namespace.
    const program = `
      const { createBackend } = await import('${moduleOf('backend/backend.js')}');
      const { Readiness } = await import('${moduleOf('readiness.js')}');
      const { commandRunner } = await import('${moduleOf('../linux/command.js')}');
      const log = { info() {}, warn: console.log, error: console.log };
      await createBackend('vxlan', { run: commandRunner(), uplink: ${JSON.stringify(uplink)},
        options: {}, log, readiness: new Readiness(), republish() {} });`;
    const node = [process.execPath, '--input-type=module', '-e', program];
    assert.equal(inSpace(...node), '');
    assert.equal(inSpace('cat', '/proc/sys/net/ipv6/conf/flannel.1/accept_ra').trim(), '0');
    assert.equal(inSpace('cat', '/proc/sys/net/ipv4/conf/flannel.1/forwarding').trim(), '1');
  });
});

/** As the network config that has them is read. */
function optionsOf(given: Record<string, unknown>): BackendOptions {
  const Backend = { Type: 'vxlan', ...given };
  const parsed = parseNetworkConfig(JSON.stringify({ Network: '10.244.0.0/16', Backend }));
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.config.backend.options;
}

function published(macAddress: string): string {
  const data = `{"VNI":1,"VtepMAC":"${macAddress}"}`;
  return `{"PublicIP":"192.0.2.1","BackendType":"vxlan","BackendData":${data}}`;
}

function moduleOf(path: string): URL {
  return new URL(`../../../src/agent/${path}`, import.meta.url);
}
