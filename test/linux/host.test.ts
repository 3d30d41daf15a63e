/** The host through `ip`: every call may be repeated, and says what the kernel said. */
import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { CommandError, commandRunner, jsonRows } from '../../src/linux/command.ts';
import * as link from '../../src/linux/link.ts';
import * as route from '../../src/linux/route.ts';
import { readSysctl, writeSysctl } from '../../src/linux/sysctl.ts';
import { createNamespace, type Namespace } from './namespace.ts';

describe('a program', () => {
  const run = commandRunner();

  test('gets its arguments as they are, past any shell', async () => {
    assert.equal(await run(['printf', '%s|', '$(id)', 'a b', ';']), '$(id)|a b|;|');
  });

  test('that fails is an error with arguments and stderr', async () => {
    await assert.rejects(run(['ip', 'link', 'show', 'dev', 'nothing']), (error) => {
      assert.ok(error instanceof CommandError);
      assert.deepEqual(error.argv, ['ip', 'link', 'show', 'dev', 'nothing']);
      assert.match(error.stderr, /"nothing" does not exist/);
      return true;
    });
  });

  test('that is not installed is named', async () => {
    await assert.rejects(run(['no-such-program']), /no program 'no-such-program' in PATH/);
  });
});

describe('links and routes', () => {
  let space: Namespace;

  beforeEach(() => {
    space = createNamespace();
  });
  afterEach(() => space.remove());

  test('a TUN is made, found, set and deleted; twice is as good as once', async () => {
    const { run } = space;
    assert.equal(await link.findLink(run, 'tun7'), undefined);
    await link.createTun(run, 'tun7');
    for (let round = 0; round < 2; round++) {
      await link.setLink(run, 'tun7', 1400, 100);
      await link.setLinkUp(run, 'tun7');
    }
    const found = await link.findLink(run, 'tun7');
    const { mtu, up, kind, tun } = found!;
    assert.deepEqual({ mtu, up, kind }, { mtu: 1400, up: true, kind: 'tun' });
    assert.deepEqual(tun, { mode: 'tun', multiQueue: true, persistent: true, queues: 0 });
    for (let round = 0; round < 2; round++) await link.deleteLink(run, 'tun7');
    assert.equal(await link.findLink(run, 'tun7'), undefined);
  });

  test('exactly one address is left, and what had to go is told', async () => {
    const { run } = space;
    await link.createTun(run, 'tun7');
    space.ip('address add 10.9.9.9/24 dev tun7\naddress add 10.1.5.0/32 dev tun7\n');
    const gone: string[][] = [];
    for (let round = 0; round < 2; round++) {
      gone.push(await link.setOnlyAddress(run, (await link.findLink(run, 'tun7'))!, '10.1.5.0/32'));
    }
    assert.deepEqual(gone, [['10.9.9.9/24'], []]);
    const { addresses } = (await link.findLink(run, 'tun7'))!;
    const ours = addresses.filter((address) => address.family === 'inet');
    assert.deepEqual(
      ours.map(({ local, prefixLength }) => [local, prefixLength]),
      [['10.1.5.0', 32]],
    );
  });

  test('a device route is there once, however often it is asked for', async () => {
    const { run } = space;
    await link.createTun(run, 'tun7');
    await link.setLinkUp(run, 'tun7');
    assert.deepEqual(await route.listRoutes(run, '10.1.0.0/16'), []);
    for (let round = 0; round < 2; round++) {
      await route.ensureDeviceRoute(run, '10.1.0.0/16', 'tun7');
    }
    const routes = await route.listRoutes(run, '10.1.0.0/16');
    const plain = { type: 'unicast', metric: 0, protocol: 'boot', onlink: false, multipath: false };
    assert.deepEqual(routes, [{ destination: '10.1.0.0/16', device: 'tun7', ...plain }]);
    const text = await run(['ip', '-details', 'route', 'show', 'exact', '10.1.0.0/16']);
    assert.match(text, /proto boot scope global/);
  });

  test('to have no route, or one that leads nowhere, is an answer', async () => {
    space.ip('link set lo up\n');
    const types = ['blackhole', 'unreachable', 'prohibit', 'throw'];
    for (const [index, type] of types.entries()) space.ip(`route add ${type} 10.${index}.0.0/16\n`);
    for (const address of ['10.0.0.1', '10.1.0.1', '10.2.0.1', '10.3.0.1', '10.4.0.1']) {
      assert.equal(await route.lookUpRoute(space.run, address), undefined, address);
    }
    const found = await route.lookUpRoute(space.run, '127.0.0.1');
    assert.equal(found?.device, 'lo');
  });

  test('an alias of any bytes hides no device', async () => {
    const aliases = ['\u001b[31mEVIL', 'a"b\\c', '\u0001\u0002\t\u007f', '\u202e\u2028', "it's"];
    for (const [at, alias] of aliases.entries()) {
      space.ip(`link add name odd${at} type bridge\n`);
      await space.run(['ip', 'link', 'set', 'dev', `odd${at}`, 'alias', alias]);
    }
    const names = (await link.listLinks(space.run)).map(({ name }) => name);
    for (const at of aliases.keys()) assert.ok(names.includes(`odd${at}`), names.join());
    assert.equal((await link.findLink(space.run, 'odd0'))?.name, 'odd0');
  });

  test('an answer that is no list is a failure of its program', () => {
    for (const text of ['{', '{}', 'null', '[{"a":]', '\u0001']) {
      assert.throws(() => jsonRows(['ip', '-json'], text), CommandError);
    }
    assert.deepEqual(jsonRows(['ip'], ' \n'), []);
  });

  test('routes are described as one would type them', async () => {
    space.ip(`link set lo up
route add blackhole 10.1.0.0/16 metric 7
route add 10.2.0.0/16 dev lo
`);
    const described = async (prefix: string) =>
      (await route.listRoutes(space.run, prefix)).map(route.describeRoute);
    assert.deepEqual(await described('10.1.0.0/16'), ['blackhole 10.1.0.0/16 metric 7']);
    assert.deepEqual(await described('10.2.0.0/16'), ['10.2.0.0/16 dev lo']);
  });
});

describe('a sysctl', () => {
  test('that holds already is not written, and one that is not there counts as held', () => {
    const now = readSysctl('kernel/pid_max')!;
    assert.match(now, /^\d+$/);
    assert.equal(writeSysctl('kernel/pid_max', now), undefined);
    assert.equal(writeSysctl('net/no/such', '1'), undefined);
    assert.equal(readSysctl('net/no/such'), undefined);
  });

  test('that cannot be written says why', () => {
    assert.match(writeSysctl('kernel/ostype', 'weft')!, /^E(ACCES|PERM|INVAL|ROFS)$/);
  });
});
