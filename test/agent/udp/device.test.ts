import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { Fault } from '../../../src/agent/fault.ts';
import { createDevice, removeDevice, restoreDevice } from '../../../src/agent/udp/device.ts';
import { findLink } from '../../../src/linux/link.ts';
import { listRoutes } from '../../../src/linux/route.ts';
import { parsePrefix4 } from '../../../src/wire/address.ts';
import { createNamespace, type Namespace } from '../../linux/namespace.ts';
import { FLAGS, holdDevice } from '../../support/past-device.ts';

const device = {
  name: 'flannel0',
  mtu: 1472,
  network: parsePrefix4('10.1.0.0/16')!,
  subnet: parsePrefix4('10.1.5.0/24')!,
};

describe('the device', () => {
  let space: Namespace;

  beforeEach(() => {
    space = createNamespace();
  });
  afterEach(() => space.remove());

  async function look() {
    const link = await findLink(space.run, 'flannel0');
    const routes = await listRoutes(space.run, '10.1.0.0/16');
    return {
      up: link?.up,
      mtu: link?.mtu,
      addresses: link?.addresses.map(({ local, prefixLength }) => `${local}/${prefixLength}`),
      routes: routes.map((route) => route.device),
    };
  }

  const right = { up: true, mtu: 1472, addresses: ['10.1.5.0/32'], routes: ['flannel0'] };

  async function refused(message: RegExp): Promise<void> {
    await assert.rejects(createDevice(space.run, device), (error: Error) => {
      assert.ok(error instanceof Fault, String(error));
      assert.equal(error.kind, 'environment');
      assert.match(error.message, message);
      return true;
    });
  }

  test('is made as flannel makes it, and again without harm', async () => {
    const { index } = await createDevice(space.run, device);
    const again = await createDevice(space.run, device);
    assert.equal(again.index, index);
    const { addresses, ...rest } = await look();
    // The kernel's own IPv6 address is kept away by sysctl, which a prefix of `ip` cannot set.
    assert.deepEqual(
      { ...rest, addresses: addresses?.filter((text) => !text.includes(':')) },
      right,
    );
  });

  test('of an earlier run is taken over, and set right', async () => {
    space.ip(`tuntap add dev flannel0 mode tun multi_queue
address add 10.1.9.0/32 dev flannel0
link set flannel0 mtu 900 up
`);
    await createDevice(space.run, device);
    const { mtu, addresses } = await look();
    assert.equal(mtu, 1472);
    assert.ok(!addresses?.includes('10.1.9.0/32'));
    assert.ok(addresses?.includes('10.1.5.0/32'));
  });

  test('on which something hangs is made anew, and that is said', async () => {
    space.ip('tuntap add dev flannel0 mode tun multi_queue\n');
    const before = (await findLink(space.run, 'flannel0'))!.index;
    await space.run(['tc', 'qdisc', 'add', 'dev', 'flannel0', 'root', 'blackhole']);
    await space.run(['tc', 'qdisc', 'add', 'dev', 'flannel0', 'clsact']);
    const { index, warnings } = await createDevice(space.run, device);
    assert.notEqual(index, before);
    assert.match(warnings.join(), /was there with qdisc blackhole, qdisc clsact,.*created again/);
    assert.equal((await findLink(space.run, 'flannel0'))?.attached.qdisc, 'mq');
  });

  for (const keep of [true, false]) {
    const why = keep ? 'it is to be kept' : 'it is our own of before';
    test(`on which something hangs stays if ${why}, with a warning and the cure`, async () => {
      const { index } = await createDevice(space.run, device);
      await space.run(['tc', 'qdisc', 'add', 'dev', 'flannel0', 'root', 'blackhole']);
      const past = { index: keep ? undefined : index, keep };
      const again = await createDevice(space.run, device, past);
      assert.equal(again.index, index);
      assert.match(
        again.warnings.join(),
        /carries qdisc blackhole.*\(tc qdisc delete dev fl.* root\)/,
      );
      assert.equal((await findLink(space.run, 'flannel0'))?.attached.qdisc, 'blackhole');
      const cure = /\((tc [^)]*)\)/.exec(again.warnings.join())![1]!;
      await space.run(cure.split(' '));
      assert.deepEqual((await createDevice(space.run, device, past)).warnings, []);
    });
  }

  const strangers: [string, string, RegExp][] = [
    [
      'of another kind',
      'link add flannel0 type bridge',
      /of kind bridge, not a TUN.*ip link delete/,
    ],
    ['a TAP', 'tuntap add dev flannel0 mode tap multi_queue', /TAP device/],
    ['without queues', 'tuntap add dev flannel0 mode tun', /without multi_queue/],
    ['a veth', 'link add flannel0 type veth peer name other', /of kind veth/],
    ['a vxlan', 'link add flannel0 type vxlan id 9 dstport 4789', /of kind vxlan/],
    ['a bridge with ports', 'link add flannel0 type bridge', /if nothing on this host needs it/],
  ];
  for (const [what, batch, message] of strangers) {
    test(`${what} is refused with the cure, and left alone`, async () => {
      space.ip(`${batch}\n`);
      await refused(message);
      assert.deepEqual((await look()).routes, []);
    });
  }

  test('that another process holds is refused', async () => {
    space.ip('tuntap add dev flannel0 mode tun multi_queue\n');
    const holder = await holdDevice(space.name, 'flannel0');
    try {
      // The program itself is in linux/holder: here we look from another namespace.
      await refused(/flannel0 is held by .* \(pid .*\).*, or take another name with --dev/);
    } finally {
      await holder.stop('SIGKILL');
    }
  });

  test('that flanneld holds is refused, and no cure cuts it', async () => {
    // flannel's own: one queue, not persistent.
    const holder = await holdDevice(space.name, 'flannel0', FLAGS.single);
    try {
      await refused(/held by .*\(pid (?!.*ip link delete)/);
      assert.ok(await findLink(space.run, 'flannel0'));
    } finally {
      await holder.stop('SIGKILL');
    }
  });

  const foreign: [string, string][] = [
    ['another device', 'route add 10.1.0.0/16 dev lo'],
    ['a gateway', 'route add 10.1.0.0/16 via 192.0.2.254'],
    ['a black hole with a metric', 'route add blackhole 10.1.0.0/16 metric 99'],
  ];
  for (const [what, batch] of foreign) {
    test(`does not share its network with ${what}: the route is named with the cure`, async () => {
      space.ip(`link set lo up\naddress add 192.0.2.1/24 dev lo\n${batch}\n`);
      await refused(/another route has the overlay's network: '.*10\.1\.0\.0\/16.*ip route delete/);
      assert.equal(await findLink(space.run, 'flannel0'), undefined);
    });
  }

  test('is restored after changes by others, and a route of others is not touched', async () => {
    const { index } = await createDevice(space.run, device);
    const restore = () => restoreDevice(space.run, device, { index, queues: 0 });
    const nothing = { repairs: [], trouble: '', attached: [] };
    assert.deepEqual(await restore(), { state: 'up', ...nothing });
    space.ip('link set flannel0 mtu 1000\naddress flush dev flannel0\n');
    assert.deepEqual((await restore()).repairs, [
      'MTU back from 1000 to 1472',
      'address 10.1.5.0/32',
      'route 10.1.0.0/16',
    ]);
    space.ip('link set flannel0 down\n');
    assert.deepEqual(await restore(), { state: 'down', ...nothing });
    space.ip('link set flannel0 up\nlink set lo up\nroute add 10.1.0.0/16 dev lo\n');
    await assert.rejects(restore(), /'10\.1\.0\.0\/16 dev lo'/);
    assert.deepEqual((await look()).routes, ['lo']);
  });

  test('gets back what others changed of the link itself', async () => {
    const { index } = await createDevice(space.run, device);
    const restore = () => restoreDevice(space.run, device, { index, queues: 1 });
    const changes: [string, string[]][] = [
      ['link set flannel0 txqueuelen 1', ['txqueuelen back from 1 to 1000']],
      ['link set flannel0 carrier off', ['carrier']],
      [
        'link set flannel0 down\nlink set flannel0 name wan7\nlink set wan7 up',
        ['name back from wan7', 'route 10.1.0.0/16'],
      ],
    ];
    const holder = await holdDevice(space.name, 'flannel0');
    try {
      for (const [batch, repairs] of changes) {
        space.ip(`${batch}\n`);
        assert.deepEqual(await restore(), { state: 'up', repairs, trouble: '', attached: [] });
        const nothing = { state: 'up', repairs: [], trouble: '', attached: [] };
        assert.deepEqual(await restore(), nothing, 'and stays as it is');
      }
      await space.run(['tc', 'qdisc', 'add', 'dev', 'flannel0', 'root', 'blackhole']);
      assert.equal((await restore()).attached[0]?.what, 'qdisc blackhole');
      const thief = await holdDevice(space.name, 'flannel0');
      assert.match((await restore()).trouble, /1 queue of flannel0 opened by .*pid /);
      await thief.stop('SIGKILL');
      assert.equal((await restore()).trouble, '');
    } finally {
      await holder.stop('SIGKILL');
    }
  });

  test('that was deleted is gone, also if another has its name now', async () => {
    const { index } = await createDevice(space.run, device);
    await removeDevice(space.run, 'flannel0', index);
    const look = () => restoreDevice(space.run, device, { index, queues: 0 });
    assert.equal((await look()).state, 'gone');
    space.ip('tuntap add dev flannel0 mode tun multi_queue\n');
    assert.equal((await look()).state, 'gone');
    await removeDevice(space.run, 'flannel0', index);
    assert.ok(await findLink(space.run, 'flannel0'), 'removed a device of somebody else');
    await removeDevice(space.run, 'nothing', 1);
  });
});
