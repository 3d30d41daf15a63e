/** Marks of makers: the dead are known, the living and those of others are left alone. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import test, { describe } from 'node:test';
import { isDead, MAKER_PATTERN, MAKERS, makerOf, withFolder } from '../support/maker.ts';
import { environmentOf, readProc, treeOf } from '../support/proc.ts';
import { Background } from '../support/process.ts';

const [pid, start, namespace] = makerOf().split('.');

describe('a maker', () => {
  for (const [what, maker, dead] of [
    ['that is this process', makerOf(), false],
    ['whose parent lives', makerOf(process.ppid), false],
    ['of an unused pid', `${(2 ** 30).toString(36)}.${start}.${namespace}`, true],
    [
      'whose pid was given again',
      `${pid}.${(Number.parseInt(start!, 36) - 1).toString(36)}.${namespace}`,
      true,
    ],
    ['of another namespace of pids', `${(2 ** 30).toString(36)}.${start}.abc`, false],
    ['of a namespace before the first', `${(2 ** 30).toString(36)}.${start}.-a`, false],
    ['that is no mark', 'n1', false],
  ] as const) {
    test(`${what} is ${dead ? 'dead' : 'not known to be dead'}`, () => {
      assert.equal(isDead(maker), dead);
    });
  }

  test('is dead once its process has ended', async () => {
    const child = new Background(['cat']);
    const maker = makerOf(child.pid);
    assert.equal(isDead(maker), false);
    await child.stop('SIGKILL');
    assert.equal(isDead(maker), true);
  });

  test('is in the environment of every child, after the makers of its maker', async () => {
    const child = new Background(['cat']);
    child.write('ready\n');
    await child.waitForOutput(/ready/);
    const makers = environmentOf(child.pid, MAKERS)!.split(',');
    assert.equal(makers.at(-1), makerOf());
    assert.ok(treeOf(process.pid).some((proc) => proc.pid === child.pid));
    assert.equal(readProc(child.pid)?.command, 'cat');
    await child.stop();
  });

  test('is in the name of a folder, which goes with the work done in it', async () => {
    const folder = await withFolder('x', (path) => {
      assert.ok(existsSync(path));
      return path;
    });
    assert.match(basename(folder), new RegExp(`^weft-${MAKER_PATTERN}-x-`));
    assert.equal(existsSync(folder), false);
  });
});
