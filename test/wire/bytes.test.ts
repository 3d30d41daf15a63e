import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  readHost16,
  readHost32,
  readUint16,
  readUint32,
  writeHost16,
  writeHost32,
  writeUint16,
  writeUint32,
} from '../../src/wire/bytes.ts';
import { runSeed } from '../support/random.ts';

const seed = runSeed();

test('network order is big-endian, host order little-endian', () => {
  const bytes = Uint8Array.of(0xa5, 0x81, 0x02, 0xf3, 0x04, 0xa5);
  assert.equal(readUint16(bytes, 1), 0x8102);
  assert.equal(readUint32(bytes, 1), 0x8102f304);
  assert.equal(readHost16(bytes, 1), 0x0281);
  assert.equal(readHost32(bytes, 1), 0x04f30281);
  assert.equal(readHost32(bytes, 2), 0xa504f302);
});

test('writes touch only their own bytes', () => {
  const written = (write: (bytes: Uint8Array) => void) => {
    const bytes = new Uint8Array(6).fill(0xa5);
    write(bytes);
    return Buffer.from(bytes).toString('hex');
  };
  assert.equal(
    written((bytes) => writeUint16(bytes, 1, 0x12345)),
    'a52345a5a5a5',
  );
  assert.equal(
    written((bytes) => writeUint32(bytes, 1, 0x8102f304)),
    'a58102f304a5',
  );
  assert.equal(
    written((bytes) => writeUint32(bytes, 1, 0x8102f304 | 0)),
    'a58102f304a5',
  );
  assert.equal(
    written((bytes) => writeHost16(bytes, 1, 0x12345)),
    'a54523a5a5a5',
  );
  assert.equal(
    written((bytes) => writeHost32(bytes, 1, 0x8102f304)),
    'a504f30281a5',
  );
});

test('every value comes back, at every alignment', () => {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  const value = fc.integer({ min: 0, max: 0xffffffff });
  fc.assert(
    fc.property(value, fc.integer({ min: 0, max: 8 }), (number, at) => {
      writeUint32(bytes, at, number);
      assert.equal(readUint32(bytes, at), number);
      assert.equal(view.getUint32(at), number);
      writeHost32(bytes, at, number);
      assert.equal(readHost32(bytes, at), number);
      assert.equal(view.getUint32(at, true), number);
      writeUint16(bytes, at, number);
      assert.equal(readUint16(bytes, at), view.getUint16(at));
      writeHost16(bytes, at, number);
      assert.equal(readHost16(bytes, at), view.getUint16(at, true));
    }),
    { seed },
  );
});
