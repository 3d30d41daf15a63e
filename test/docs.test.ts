/** The generated pages are those that the program's tables make now; links lead somewhere. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { describe } from 'node:test';
import { PAGES, ROOT } from '../scripts/docs/pages.ts';
import { DROP_REASONS } from '../src/observe/drops/advice.ts';
import { attempt } from './support/process.ts';

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

describe('docs', () => {
  for (const { path, render } of PAGES) {
    test(`${path} is current`, () => {
      assert.equal(read(path), render(), 'run `make docs` and commit what it writes');
    });
  }

  test('the manual is right for man', () => {
    const argv = ['groff', '-man', '-Tutf8', '-ww', '-z', join(ROOT, 'docs/man/weft.1')];
    assert.equal(attempt(argv).stderr, '');
  });

  test('every drop reason says what to do', () => {
    const silent = DROP_REASONS.filter(({ advice }) => advice === '').map(({ reason }) => reason);
    assert.deepEqual(silent, []);
  });

  const pages = ['README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)];
  for (const page of pages.filter((name) => name.endsWith('.md'))) {
    test(`links of ${page} lead somewhere`, () => {
      const links = [...read(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, to]) => to!);
      const dead = links.filter((to) => !existsSync(join(ROOT, dirname(page), to)));
      assert.deepEqual(dead, []);
    });
  }
});
