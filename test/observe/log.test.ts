import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { createLog, type LogFormat } from '../../src/log.ts';
import { makeFolder } from '../support/maker.ts';

describe('the log', () => {
  let folder: string;
  let descriptor: number;

  beforeEach(() => {
    folder = makeFolder('log');
    descriptor = openSync(join(folder, 'log'), 'w');
  });
  afterEach(() => {
    closeSync(descriptor);
    rmSync(folder, { recursive: true });
  });

  const written = () => readFileSync(join(folder, 'log'), 'utf8');
  const open = (format: LogFormat, level = 'info') => createLog({ level, format, descriptor });

  test('is JSON lines with level and time as text', () => {
    const { log, writeErrors } = open('json');
    log.info({ mtu: 1472 }, 'forwarding');
    log.debug('not asked for');
    const line = JSON.parse(written());
    assert.deepEqual([line.level, line.msg, line.mtu], ['info', 'forwarding', 1472]);
    assert.match(line.time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.equal(writeErrors(), 0);
  });

  test('is readable where a person reads it', () => {
    open('pretty').log.warn({ mtu: 1472 }, 'too large');
    assert.match(written(), /^\[[\d:.]+\] WARN: too large\n +mtu: 1472\n$/);
  });

  test('is JSON where no terminal is', () => {
    open('auto').log.info('hello');
    assert.equal(JSON.parse(written()).msg, 'hello');
  });

  test('counts what cannot be written, and goes on', () => {
    const full = openSync('/dev/full', 'w');
    const { log, writeErrors } = createLog({ level: 'info', format: 'json', descriptor: full });
    for (let line = 0; line < 3; line++) log.info('lost');
    assert.equal(writeErrors(), 3);
    closeSync(full);
  });

  test('waits for no reader of a pipe that has stalled, and goes on when it reads', () => {
    const path = join(folder, 'pipe');
    execFileSync('mkfifo', [path]);
    // Blocking, as a supervisor hands it to us; opened for both, it waits for nobody.
    const pipe = openSync(path, 'r+');
    const { log, writeErrors } = createLog({ level: 'info', format: 'json', descriptor: pipe });
    const text = 'x'.repeat(1_000);
    const lines = 1_000;
    for (let line = 0; line < lines; line++) log.info({ line }, text);
    const lost = writeErrors();
    assert.ok(lost > 0 && lost < lines, `${lost} of ${lines} lost`);
    const room = Buffer.alloc(1024 * 1024);
    const read = () => room.toString('utf8', 0, readSync(pipe, room)).trimEnd().split('\n');
    const kept = read().map((line) => JSON.parse(line).line);
    assert.deepEqual(kept, [...Array(lines - lost).keys()]);
    log.info('read again');
    assert.equal(JSON.parse(read()[0]!).msg, 'read again');
    assert.equal(writeErrors(), lost);
    closeSync(pipe);
  });

  test('begins a new line after one that a full disk has torn', () => {
    const chunks: string[] = [];
    let room = 10;
    const write = ((_: number, bytes: Buffer, offset: number) => {
      const part = bytes.subarray(offset, offset + room);
      if (part.length === 0) throw new Error('ENOSPC');
      room -= part.length;
      chunks.push(part.toString());
      return part.length;
    }) as never;
    const { log, writeErrors } = createLog({ level: 'info', format: 'json' }, write);
    log.info('one');
    log.info('two');
    room = 10_000;
    log.info('three');
    const lines = chunks.join('').split('\n');
    assert.equal(lines[0]!.length, 10);
    assert.equal(JSON.parse(lines[1]!).msg, 'three');
    assert.equal(writeErrors(), 2);
  });
});
