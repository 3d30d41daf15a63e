import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { FileError, readFileSoon, readFileWithin } from '../../src/untrusted/file.ts';
import { makeFolder } from '../support/maker.ts';

describe('a file that somebody names', () => {
  let folder: string;
  const at = (name: string) => join(folder, name);
  const server = createServer();
  before(async () => {
    folder = makeFolder('named');
    writeFileSync(at('full'), 'x'.repeat(100));
    writeFileSync(at('empty'), '');
    writeFileSync(at('over'), 'x'.repeat(101));
    mkdirSync(at('folder'));
    symlinkSync('full', at('link'));
    symlinkSync('circle', at('circle'));
    execFileSync('mkfifo', [at('pipe')]);
    await new Promise<void>((resolve) => server.listen(at('socket'), resolve));
  });
  after(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  for (const [name, length] of [
    ['full', 100],
    ['empty', 0],
    ['link', 100],
  ] as const) {
    test(`${name}: is read whole`, async () => {
      assert.equal(readFileWithin(at(name), 100).length, length);
      assert.equal((await readFileSoon(at(name), 100)).length, length);
    });
  }

  // None of them may be waited for, or read until the memory is full.
  const bad: readonly [path: string, code: string, message: RegExp][] = [
    ['none', 'ENOENT', /there is none \(ENOENT\)/],
    ['over', 'EFILE', /too long: 101 bytes, where at most 100/],
    ['folder', 'EISDIR', /is a directory/],
    ['circle', 'ELOOP', /links lead in a circle/],
    ['full/deeper', 'ENOTDIR', /no directory/],
    ['pipe', 'EFILE', /is a pipe, not a regular file: write it to a file/],
    ['socket', 'EFILE', /a device or a socket/],
    ['/dev/zero', 'EFILE', /a device/],
    ['/dev/null', 'EFILE', /a device/],
    // Regular, of size 0, and without an end for practical purposes.
    ['/proc/kallsyms', 'EFILE', /too long/],
  ];
  for (const [path, code, message] of bad) {
    test(`${path}: ${code}`, async () => {
      const whole = path.startsWith('/') ? path : at(path);
      const isIt = (error: Error) => {
        assert.ok(error instanceof FileError, String(error));
        assert.equal(error.code, code);
        assert.match(error.message, message);
        return true;
      };
      assert.throws(() => readFileWithin(whole, 100), isIt);
      await assert.rejects(readFileSoon(whole, 100), isIt);
    });
  }

  test('that others alone may read is told so', () => {
    chmodSync(at('full'), 0);
    const program = `import('${new URL('../../src/untrusted/file.js', import.meta.url)}')
      .then(({ readFileWithin }) => {
        process.setuid(65534);
        try { readFileWithin('${at('full')}', 100); } catch (error) { console.log(error.message); }
      });`;
    chmodSync(folder, 0o755);
    const said = execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' });
    assert.match(said, /this user may not read it \(EACCES\)/);
  });
});
