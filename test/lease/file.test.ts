import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createFileSource } from '../../src/lease/file.ts';
import type { LeaseSource, StopWatching } from '../../src/lease/source.ts';
import { makeFolder } from '../support/maker.ts';
import { waitFor, waitOut } from '../support/waitfor.ts';
import { LogBook, Mirror } from './mirror.ts';

/** The text of a lease file with one node, at the address that ends in `last`. */
const text = (last: number) => `{"10.244.2.0-24": {"PublicIP": "192.0.2.${last}"}}`;
const shown = (last: number) => new Map([['10.244.2.0-24', `{"PublicIP":"192.0.2.${last}"}`]]);

/** So long that only the folder's own news can be why a test passes. */
const NEVER = 3_600_000;

describe('a lease file', () => {
  let folder: string;
  let path: string;
  let mirror: Mirror;
  let book: LogBook;
  let source: LeaseSource;
  let stop: StopWatching;

  beforeEach(() => {
    folder = makeFolder('file');
    path = join(folder, 'leases.json');
    mirror = new Mirror();
    book = new LogBook();
    stop = async () => undefined;
  });
  afterEach(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function watch(poll?: number, doubt?: number): void {
    source = createFileSource({ path, log: book.log, poll, doubt });
    stop = source.watch(mirror);
  }
  const shows = (last: number) =>
    waitFor(`the address 192.0.2.${last}`, () => mirror.shows(shown(last)));

  test('is followed when written in place', async () => {
    writeFileSync(path, text(2));
    watch(NEVER);
    await shows(2);
    writeFileSync(path, text(3));
    await shows(3);
  });

  test('is followed when another is renamed into its place, again and again', async () => {
    writeFileSync(path, text(2));
    watch(NEVER);
    await shows(2);
    for (let last = 3; last < 20; last++) {
      writeFileSync(`${path}.new`, text(last));
      renameSync(`${path}.new`, path);
      await shows(last);
    }
    assert.deepEqual(book.warnings(), []);
  });

  test('is followed through links that are swapped, as in a mounted ConfigMap', async () => {
    const version = (name: string, last: number) => {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'leases.json'), text(last));
      symlinkSync(name, join(folder, '..new'));
      renameSync(join(folder, '..new'), join(folder, '..data'));
    };
    version('..first', 2);
    symlinkSync('..data/leases.json', path);
    watch(NEVER);
    await shows(2);
    version('..second', 3);
    rmSync(join(folder, '..first'), { recursive: true });
    await shows(3);
    assert.deepEqual(book.warnings(), []);
  });

  test('is followed by the poll where the folder does not tell', async () => {
    const elsewhere = makeFolder('file');
    try {
      writeFileSync(join(elsewhere, 'l'), text(2));
      symlinkSync(join(elsewhere, 'l'), path);
      watch(20);
      await shows(2);
      writeFileSync(join(elsewhere, 'l'), text(3));
      await shows(3);
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });

  test('is waited for, folder and all, with one log line', async () => {
    path = join(folder, 'not', 'yet', 'leases.json');
    watch(20);
    await waitFor('a log line', () => book.warnings().length === 1);
    assert.equal(source.status().state, 'connecting');
    assert.match(source.status().reason, /ENOENT/);
    mkdirSync(join(folder, 'not', 'yet'), { recursive: true });
    writeFileSync(path, text(2));
    await shows(2);
    assert.equal(book.warnings().length, 1);
    assert.equal(source.status().state, 'synced');
  });

  test('is found again after its folder was replaced', async () => {
    path = join(folder, 'deep', 'leases.json');
    mkdirSync(join(folder, 'deep'));
    writeFileSync(path, text(2));
    watch(20);
    await shows(2);
    renameSync(join(folder, 'deep'), join(folder, 'old'));
    mkdirSync(join(folder, 'deep'));
    writeFileSync(path, text(3));
    await shows(3);
    writeFileSync(path, text(4));
    await shows(4);
  });

  test('that is removed leaves the leases and says so', async () => {
    writeFileSync(path, text(2));
    watch(NEVER);
    await shows(2);
    rmSync(path);
    await waitFor('the state', () => source.status().state === 'stale');
    assert.ok(mirror.shows(shown(2)));
    assert.match(book.lines.at(-1)!.reason!, /ENOENT/);
    writeFileSync(path, text(3));
    await shows(3);
  });

  test('each new version that makes no sense is reported once', async () => {
    writeFileSync(path, text(2));
    watch(20);
    await shows(2);
    for (const [count, garbage] of ['', '{', '[]', '{"a": 1} x', 'null'].entries()) {
      writeFileSync(path, garbage);
      await waitFor(`report ${count + 1}`, () => book.warnings().length === count + 1);
      assert.equal(source.status().state, 'stale');
    }
    assert.ok(mirror.shows(shown(2)));
    const failures = source.status().failures;
    assert.equal(failures, 5);
    // Looks with nothing new: the folder stirs, the file is the same.
    for (let i = 0; i < 10; i++) writeFileSync(join(folder, `other${i}`), '');
    writeFileSync(path, text(3));
    await shows(3);
    assert.equal(source.status().failures, failures);
    assert.equal(book.warnings().length, 5, book.text);
  });

  test('in which nothing is a lease is refused whole; one lease, or none, is taken', async () => {
    writeFileSync(path, text(2));
    watch(20);
    await shows(2);
    for (const [count, [bad, reason]] of [
      [
        '{"node2": {"PublicIP": "192.0.2.3"}}',
        /one entry, which is no lease \("node2": not of the/,
      ],
      ['{"node2": {}, "10.244.2.0/24": {}}', /2 entries, of which none is a lease .*write \{\}/],
      ['{"10.244.2.0-24": "192.0.2.3"}', /"10\.244\.2\.0-24": /],
    ].entries() as Iterable<[number, [string, RegExp]]>) {
      writeFileSync(path, bad);
      await waitFor(`report ${count + 1}`, () => source.status().failures === count + 1);
      assert.match(source.status().reason, reason);
      assert.equal(source.status().state, 'stale');
      assert.ok(mirror.shows(shown(2)), bad);
    }
    assert.equal(book.warnings().length, 3, book.text);
    writeFileSync(path, `{"node2": {}, ${text(3).slice(1)}`);
    await waitFor('the mixed file', () => mirror.snapshots === 2);
    assert.equal(source.status().state, 'synced');
    writeFileSync(path, '{}');
    await waitFor('the empty file', () => mirror.shows(new Map()));
    assert.equal(source.status().state, 'synced');
  });

  test('half written is not reported if the rest follows', async () => {
    const [half, rest] = [text(3).slice(0, 20), text(3).slice(20)];
    writeFileSync(path, text(2));
    watch(20, NEVER);
    await shows(2);
    writeFileSync(path, half);
    // Time for a look at the half.
    await waitOut(100);
    writeFileSync(path, rest, { flag: 'a' });
    await shows(3);
    assert.deepEqual(book.warnings(), []);
  });

  test('that is no file, or too big a one, is refused with the reason', async () => {
    execFileSync('mkfifo', [path]);
    watch(20);
    await waitFor('a log line', () => book.warnings().length === 1);
    assert.match(source.status().reason, /not a regular file/);
    rmSync(path);
    execFileSync('truncate', ['-s', '65M', path]);
    await waitFor('the reason', () => /68157440 bytes/.test(source.status().reason));
    rmSync(path);
    mkdirSync(path);
    await waitFor('the reason', () => /not a regular file/.test(source.status().reason));
    rmSync(path, { recursive: true });
    writeFileSync(path, text(2));
    await shows(2);
  });

  test('replaced by the same brings no second snapshot', async () => {
    writeFileSync(path, text(2));
    watch(20);
    await shows(2);
    writeFileSync(path, '{');
    await waitFor('the state', () => source.status().state === 'stale');
    writeFileSync(path, text(2));
    await waitFor('the state', () => source.status().state === 'synced');
    assert.equal(mirror.snapshots, 1);
    assert.equal(source.status().resyncs, 0);
  });
});
