import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { Blackhole } from '../../../src/agent/node/blackhole.ts';
import { listRoutesWithin } from '../../../src/linux/route.ts';
import { createLog } from '../../../src/log.ts';
import { parsePrefix4 } from '../../../src/wire/address.ts';
import { createNamespace, type Namespace } from '../../linux/namespace.ts';

const NETWORK = parsePrefix4('10.244.0.0/16')!;
const subnet = (third: number) => parsePrefix4(`10.244.${third}.0/24`)!;

describe('the blackhole route', () => {
  let space: Namespace;
  let blackhole: Blackhole;

  beforeEach(() => {
    space = createNamespace();
    const { log } = createLog({ level: 'silent', format: 'json' });
    blackhole = new Blackhole({ run: space.run, log, network: NETWORK, seconds: 3600 });
  });
  afterEach(async () => {
    await blackhole.stop();
    space.remove();
  });

  const routes = async () => {
    const found = await listRoutesWithin(space.run, '10.0.0.0/8');
    return found.map(({ destination, metric }) => `${destination} ${metric}`);
  };

  test("takes the place of one that an earlier life left, and of nobody else's", async () => {
    space.ip('route add blackhole 10.244.5.0/24 metric 4096\n');
    space.ip('route add blackhole 10.244.6.0/24 metric 5\n');
    space.ip('route add blackhole 10.9.0.0/24 metric 4096\n');
    await blackhole.set(subnet(7));
    assert.deepEqual(await routes(), ['10.9.0.0/24 4096', '10.244.6.0/24 5', '10.244.7.0/24 4096']);
  });

  test('stays at the end, and goes with the lease', async () => {
    await blackhole.set(subnet(7));
    await blackhole.stop();
    assert.deepEqual(await routes(), ['10.244.7.0/24 4096']);
    await blackhole.remove();
    assert.deepEqual(await routes(), []);
    await blackhole.set(subnet(8));
    assert.deepEqual(await routes(), ['10.244.8.0/24 4096']);
  });
});
