/** Each fault of the demo is made for real, found with one command, and named by it. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import test, { describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '../support/maker.ts';
import { type Ran, runAside } from '../support/process.ts';

const demoPath = fileURLToPath(new URL('../../demo/main.js', import.meta.url));

/** The demo with one fault, its output on one line. */
async function demo(fault: string): Promise<Ran> {
  const directory = makeFolder('f');
  try {
    const environment = ['env', `FAULT=${fault}`, `TMPDIR=${directory}`];
    const ran = await runAside([...environment, process.execPath, demoPath]);
    return { ...ran, stdout: ran.stdout.replace(/\s+/g, ' ').trim() };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function finds(fault: string, ...sentences: readonly RegExp[]): Promise<void> {
  const { status, stdout, stderr } = await demo(fault);
  for (const sentence of sentences) assert.match(stdout, sentence);
  assert.match(stdout, /nothing left behind$/);
  assert.equal(stderr, '');
  assert.equal(status, 0);
}

describe('the demo with a fault built in', { concurrency: 2 }, () => {
  test('mtu', () =>
    finds(
      'mtu',
      /1472-byte packets, DF set: lost without a word/,
      /wrong peers 192\.0\.2\.2 \(\S+\) answers packets of 1372 bytes and none larger/,
      /cure: --mtu 1372 on every node/,
    ));

  test('firewall', () =>
    finds(
      'firewall',
      /wrong firewall handle \d+ of chain inet site input drops UDP 8285 from 192\.0\.2\.1/,
      /cure: nft insert rule inet site input udp dport 8285 accept/,
      /192\.0\.2\.2 \(\S+\) answers on the underlay, but nothing comes back through UDP 8285/,
    ));

  test('duplicate', () =>
    finds(
      'duplicate',
      /wrong leases our PublicIP, 192\.0\.2\.1, is the address of another host: \S+ answers/,
      /cure: start weft here without --public-ip/,
    ));

  test('dead', () =>
    finds(
      'dead',
      /wrong peers 192\.0\.2\.2 \(\S+\) does not answer at all/,
      /gone for good, its lease ends by itself within a day/,
    ));

  test('one that is not known', async () => {
    const { status, stdout } = await demo('flood');
    assert.equal(status, 1);
    assert.match(stdout, /FAULT is mtu, firewall, duplicate, dead, not 'flood'/);
  });
});
