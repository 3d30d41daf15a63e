/** A build takes the place of the one before in one step, under whoever runs from there. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeFolder } from '../support/maker.ts';

const PUBLISH = fileURLToPath(new URL('../../scripts/build/publish.js', import.meta.url));
const run = promisify(execFile);
const PARTS = ['src/cli.js', 'src/weft/entry.js', 'test/all.test.js'];

describe('publishing a build', () => {
  let folder: string;
  let place: string;

  beforeEach(() => {
    folder = makeFolder('publish');
    place = join(folder, 'dist');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** A build whose every file says which it is, with one in the bundle that only it has. */
  function make(version: number): string {
    const made = join(folder, `dist.build-${version}`);
    for (const part of [...PARTS, `src/weft/chunk-${version}.js`]) {
      mkdirSync(join(made, part, '..'), { recursive: true });
      writeFileSync(join(made, part), `${version}`);
    }
    return made;
  }

  const publish = (made: string) => run(process.execPath, [PUBLISH, made, place]);
  const versions = () => PARTS.map((part) => readFileSync(join(place, part), 'utf8'));

  test('comes first where there was none', async () => {
    await publish(make(1));
    assert.deepEqual(versions(), ['1', '1', '1']);
    assert.deepEqual(readdirSync(folder), ['dist']);
  });

  test('never leaves a moment without a build, nor takes what a running weft loads', async () => {
    await publish(make(0));
    let publishing = true;
    let looks = 0;
    const looking = (async () => {
      for (; publishing; looks++) {
        for (const part of PARTS) assert.ok(existsSync(join(place, part)), part);
        await new Promise(setImmediate);
      }
    })();
    for (let version = 1; version <= 10; version++) await publish(make(version));
    publishing = false;
    await looking;
    assert.ok(looks > 0);
    assert.deepEqual(versions(), ['10', '10', '10']);
    for (let version = 0; version <= 10; version++) {
      assert.equal(readFileSync(join(place, `src/weft/chunk-${version}.js`), 'utf8'), `${version}`);
    }
  });

  test('of two at once leaves one, whole, and nothing beside it', async () => {
    await publish(make(0));
    for (let round = 1; round <= 5; round++) {
      const both = [2 * round, 2 * round + 1];
      await Promise.all(both.map((version) => publish(make(version))));
      const found = new Set(versions());
      assert.equal(found.size, 1, [...found].join(' '));
      assert.ok(both.includes(Number([...found][0])));
      assert.deepEqual(readdirSync(folder), ['dist']);
    }
  });
});
