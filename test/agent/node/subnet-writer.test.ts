import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { parseSubnetFile } from '../../../src/agent/node/subnet-file.ts';
import { formatSubnetFile, writeSubnetFile } from '../../../src/agent/node/subnet-writer.ts';
import { parsePrefix4 } from '../../../src/wire/address.ts';
import { makeFolder } from '../../support/maker.ts';

const facts = {
  network: parsePrefix4('10.1.0.0/16')!,
  subnet: parsePrefix4('10.1.5.0/24')!,
  mtu: 1472,
  masquerade: true,
};

/** The sample of flannel's own repository, with other numbers. */
const FLANNELS = `FLANNEL_NETWORK=10.1.0.0/16
FLANNEL_SUBNET=10.1.5.1/24
FLANNEL_MTU=1472
FLANNEL_IPMASQ=true
`;

describe('subnet.env', () => {
  let folder: string;
  let umask: number;

  beforeEach(() => {
    folder = makeFolder('env');
    umask = process.umask();
  });
  afterEach(() => {
    process.umask(umask);
    rmSync(folder, { recursive: true });
  });

  test('is byte for byte what flanneld writes', () => {
    assert.equal(formatSubnetFile(facts), FLANNELS);
    const off = formatSubnetFile({ ...facts, masquerade: false });
    assert.equal(off, FLANNELS.replace('IPMASQ=true', 'IPMASQ=false'));
  });

  test('is read back as it was written', () => {
    const { network, subnet, mtu } = facts;
    assert.deepEqual(parseSubnetFile(formatSubnetFile(facts)), {
      ok: true,
      value: { network, subnet, mtu },
    });
  });

  test('is 0644 in a folder of 0755, whatever the umask, and nothing lies beside it', async () => {
    for (const mask of [0o000, 0o022, 0o077]) {
      process.umask(mask);
      const inner = join(folder, `${mask}`, 'flannel');
      const path = join(inner, 'subnet.env');
      assert.equal(await writeSubnetFile(path, FLANNELS), true);
      assert.equal(readFileSync(path, 'utf8'), FLANNELS);
      assert.equal(statSync(path).mode & 0o777, 0o644);
      assert.equal(statSync(inner).mode & 0o777, 0o755);
      assert.deepEqual(readdirSync(inner), ['subnet.env']);
    }
  });

  test('is left alone where it says the same, and replaced whole where it does not', async () => {
    const path = join(folder, 'subnet.env');
    await writeSubnetFile(path, FLANNELS);
    const { ino } = statSync(path);
    assert.equal(await writeSubnetFile(path, FLANNELS), false);
    assert.equal(statSync(path).ino, ino);
    assert.equal(await writeSubnetFile(path, FLANNELS.replace('1472', '1400')), true);
    assert.notEqual(statSync(path).ino, ino);
  });

  test('that cannot be written leaves the old one and no rest behind', async () => {
    const path = join(folder, 'subnet.env');
    mkdirSync(path);
    await assert.rejects(writeSubnetFile(path, FLANNELS));
    assert.deepEqual(readdirSync(folder), ['subnet.env']);
  });
});
