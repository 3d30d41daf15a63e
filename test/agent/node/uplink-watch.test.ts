import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { type UplinkWatch, watchUplink } from '../../../src/agent/node/uplink-watch.ts';
import { Readiness } from '../../../src/agent/readiness.ts';
import { chooseUplink, type Uplink, type UplinkWishes } from '../../../src/agent/uplink.ts';
import { createLog } from '../../../src/log.ts';
import { formatAddress4, parseAddress4 } from '../../../src/wire/address.ts';
import { createNamespace, type Namespace } from '../../linux/namespace.ts';
import { waitFor } from '../../support/waitfor.ts';

const WISHES: UplinkWishes = {
  interfaces: ['eth0'],
  interfacePatterns: [],
  interfaceCanReach: undefined,
  publicAddress: undefined,
};

describe('the watch over the uplink', () => {
  let space: Namespace;
  let readiness: Readiness;
  let watch: UplinkWatch | undefined;
  let moves: Uplink[];

  beforeEach(() => {
    space = createNamespace();
    space.ip('link add eth0 type veth peer name far0\nlink set far0 up\nlink set eth0 up\n');
    space.ip('address add 192.0.2.1/24 dev eth0\n');
    readiness = new Readiness();
    moves = [];
  });
  afterEach(async () => {
    await watch?.stop();
    space.remove();
  });

  async function start(wishes: UplinkWishes = WISHES): Promise<void> {
    const uplink = await chooseUplink(space.run, wishes);
    const { log } = createLog({ level: 'silent', format: 'json' });
    const changed = (moved: Uplink) => moves.push(moved);
    const prefix = ['ip', 'netns', 'exec', space.name];
    watch = watchUplink({ run: space.run, prefix, wishes, uplink, readiness, log, changed });
  }

  const reason = () => readiness.reasons().join();
  const moved = async () => formatAddress4((await waitFor('a move', () => moves.at(-1))).address);

  test('follows another address of the same interface', async () => {
    await start();
    space.ip('address delete 192.0.2.1/24 dev eth0\naddress add 192.0.2.9/24 dev eth0\n');
    assert.equal(await moved(), '192.0.2.9');
    assert.equal(moves[0]!.publicAddress, parseAddress4('192.0.2.9'));
    await waitFor('readiness', () => reason() === '');
  });

  test('leaves the public address to --public-ip', async () => {
    const publicAddress = parseAddress4('203.0.113.7');
    await start({ ...WISHES, publicAddress });
    space.ip('address delete 192.0.2.1/24 dev eth0\naddress add 192.0.2.9/24 dev eth0\n');
    assert.equal(await moved(), '192.0.2.9');
    assert.equal(moves[0]!.publicAddress, publicAddress);
  });

  test('stays with the address while it is there, whatever comes beside it', async () => {
    await start();
    space.ip('address add 198.51.100.1/24 dev eth0\nlink set eth0 mtu 1400\n');
    await waitFor('the MTU', () => moves.at(-1)?.mtu === 1400);
    assert.equal(await moved(), '192.0.2.1');
  });

  test('takes nothing in place of an address that the operator named', async () => {
    await start({ ...WISHES, interfaces: ['192.0.2.1'] });
    space.ip('address delete 192.0.2.1/24 dev eth0\naddress add 192.0.2.9/24 dev eth0\n');
    await waitFor('word', () => reason().includes('eth0 lost its address 192.0.2.1'));
    assert.deepEqual(moves, []);
    space.ip('address add 192.0.2.1/24 dev eth0\n');
    await waitFor('readiness', () => reason() === '');
  });

  test('takes nothing in place of the --public-ip that chose the interface', async () => {
    await start({ ...WISHES, interfaces: [], publicAddress: parseAddress4('192.0.2.1') });
    space.ip('address add 198.51.100.1/24 dev eth0\naddress delete 192.0.2.1/24 dev eth0\n');
    await waitFor('word', () => reason().includes('eth0 lost its address 192.0.2.1'));
    assert.deepEqual(moves, []);
    space.ip('address add 192.0.2.1/24 dev eth0\n');
    await waitFor('readiness', () => reason() === '');
  });

  test('says that the interface is down, or gone', async () => {
    await start();
    space.ip('link set eth0 down\n');
    await waitFor('word', () => reason().includes('eth0 is down'));
    space.ip('link delete eth0\n');
    await waitFor('word', () => reason().includes('eth0 is gone'));
  });
});
