/** The writer of pcapng against a slow reader made from the specification, and against tshark. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { describe } from 'node:test';
import fc from 'fast-check';
import { BlockCutter, BrokenStream } from '../../src/watch/blocks.ts';
import * as pcapng from '../../src/watch/pcapng.ts';
import { makeFolder } from '../support/maker.ts';
import { udp4 } from '../support/packets.ts';
import { attempt } from '../support/process.ts';
import { runSeed } from '../support/random.ts';

interface Block {
  readonly type: number;
  readonly fixed: Buffer;
  readonly options: ReadonlyMap<number, Buffer>;
}

/** Bytes between type and options, by block type; a packet's data is counted apart. */
const FIXED: Readonly<Record<number, number>> = {
  [pcapng.SECTION_HEADER]: 16,
  [pcapng.INTERFACE_DESCRIPTION]: 8,
  [pcapng.INTERFACE_STATISTICS]: 12,
  [pcapng.ENHANCED_PACKET]: 20,
};

/** Reads one block slowly, and refuses whatever the specification does not allow. */
function readBlock(bytes: Uint8Array): Block {
  const buffer = Buffer.from(bytes);
  assert.equal(buffer.length % 4, 0);
  assert.equal(buffer.readUInt32LE(4), buffer.length);
  assert.equal(buffer.readUInt32LE(buffer.length - 4), buffer.length);
  const type = buffer.readUInt32LE(0);
  const data = type === pcapng.ENHANCED_PACKET ? Math.ceil(buffer.readUInt32LE(20) / 4) * 4 : 0;
  const fixed = buffer.subarray(8, 8 + FIXED[type]! + data);
  const options = new Map<number, Buffer>();
  let at = 8 + fixed.length;
  while (at < buffer.length - 4) {
    const [code, length] = [buffer.readUInt16LE(at), buffer.readUInt16LE(at + 2)];
    if (code === 0) {
      assert.equal(at + 4, buffer.length - 4, 'the end of options is their last');
      assert.equal(length, 0);
    } else {
      options.set(code, buffer.subarray(at + 4, at + 4 + length));
      const padding = buffer.subarray(at + 4 + length, at + 4 + Math.ceil(length / 4) * 4);
      assert.ok(padding.every((byte) => byte === 0));
    }
    at += 4 + Math.ceil(length / 4) * 4;
  }
  assert.equal(at, buffer.length - 4);
  return { type, fixed, options };
}

const text = (block: Block, code: number) => block.options.get(code)?.toString('utf8');
const packets = fc.record({
  micros: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  bytes: fc.uint8Array({ maxLength: 2_000 }),
  length: fc.integer({ min: 0, max: 65_535 }),
  inbound: fc.boolean(),
  comment: fc.string({ unit: 'grapheme', maxLength: 200 }),
  lostBefore: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
});

describe('pcapng', () => {
  test('any packet is read back as it was', () => {
    const property = fc.property(packets, (packet) => {
      const { fixed, options, type } = readBlock(pcapng.enhancedPacket(packet));
      assert.equal(type, pcapng.ENHANCED_PACKET);
      assert.equal(fixed.readUInt32LE(0), 0);
      const micros = BigInt(fixed.readUInt32LE(4)) * 2n ** 32n + BigInt(fixed.readUInt32LE(8));
      assert.equal(micros, BigInt(packet.micros));
      assert.equal(fixed.readUInt32LE(12), packet.bytes.length);
      assert.equal(fixed.readUInt32LE(16), packet.length);
      assert.deepEqual(Uint8Array.from(fixed.subarray(20, 20 + packet.bytes.length)), packet.bytes);
      assert.equal(options.get(1)?.toString('utf8') ?? '', packet.comment);
      assert.equal(options.get(2)!.readUInt32LE(0), packet.inbound ? 1 : 2);
      const lost = options.get(4)?.readBigUInt64LE(0) ?? 0n;
      assert.equal(lost, BigInt(packet.lostBefore));
    });
    fc.assert(property, { seed: runSeed(), numRuns: 500 });
  });

  test('the head says how to read what follows', () => {
    const section = readBlock(pcapng.sectionHeader({ application: 'weft 1', system: 'Linux' }));
    assert.equal(section.fixed.toString('hex'), `4d3c2b1a01000000${'ff'.repeat(8)}`);
    assert.equal(text(section, 4), 'weft 1');
    assert.equal(text(section, 3), 'Linux');
    const interfaceOptions = { name: 'flannel0', description: 'd', snapLength: 96, filter: 'tcp' };
    const device = readBlock(pcapng.interfaceDescription(interfaceOptions));
    assert.equal(device.fixed.toString('hex'), '6500000060000000');
    assert.equal(text(device, 2), 'flannel0');
    assert.equal(text(device, 11), '\0tcp');
    assert.deepEqual([...device.options.get(9)!], [6]);
  });

  test('statistics carry 64-bit numbers and times', () => {
    const numbers = { startMicros: 2 ** 40 + 5, endMicros: 2 ** 41, received: 2 ** 33, dropped: 7 };
    const { fixed, options } = readBlock(pcapng.interfaceStatistics({ ...numbers, comment: 'c' }));
    assert.equal(fixed.readUInt32LE(4), 2 ** 9);
    assert.equal(options.get(2)!.readUInt32LE(0), 2 ** 8);
    assert.equal(options.get(2)!.readUInt32LE(4), 5);
    assert.equal(options.get(4)!.readBigUInt64LE(0), 2n ** 33n);
    assert.equal(options.get(5)!.readBigUInt64LE(0), 7n);
  });

  test('a text too long for an option is cut between characters', () => {
    const block = pcapng.enhancedPacket({
      ...{ micros: 0, bytes: new Uint8Array(3), length: 3, inbound: true },
      comment: '\u{1f9f5}x'.repeat(20_000),
    });
    const comment = text(readBlock(block), 1)!;
    assert.ok(comment.length > 20_000);
    assert.ok('\u{1f9f5}x'.repeat(20_000).startsWith(comment));
  });

  test('tshark and capinfos read it without a warning', () => {
    const folder = makeFolder('pcapng');
    const file = join(folder, 'some.pcapng');
    const base = { length: 31, bytes: udp4(new Uint8Array(3)), inbound: false };
    writeFileSync(
      file,
      Buffer.concat([
        pcapng.sectionHeader({ application: 'weft 1' }),
        pcapng.interfaceDescription({ name: 'flannel0', description: 'd', snapLength: 65_535 }),
        pcapng.enhancedPacket({ ...base, micros: 1.7e15 + 123_456, comment: 'peer A; \u2713' }),
        pcapng.enhancedPacket({ ...base, micros: 1.7e15 + 123_457, inbound: true, lostBefore: 9 }),
        pcapng.enhancedPacket({ ...base, micros: 1.7e15 + 2e6, bytes: new Uint8Array(0) }),
        pcapng.interfaceStatistics({
          startMicros: 1.7e15,
          endMicros: 1.8e15,
          received: 12,
          dropped: 9,
        }),
      ]),
    );
    const fields = [
      'frame.time_epoch',
      'frame.packet_flags_direction',
      'frame.comment',
      'frame.len',
    ];
    const argv = ['tshark', '-r', file, '-T', 'fields', ...fields.flatMap((f) => ['-e', f])];
    const read = attempt(argv);
    const info = attempt(['capinfos', file]);
    rmSync(folder, { recursive: true });
    assert.deepEqual(read.stdout.trimEnd().split('\n'), [
      '1700000000.123456000\t0x00000002\tpeer A; \u2713\t31',
      '1700000000.123457000\t0x00000001\t\t31',
      '1700000002.000000000\t0x00000002\t\t31',
    ]);
    assert.deepEqual([read.status, warnings(read.stderr)], [0, []]);
    assert.deepEqual([info.status, warnings(info.stderr)], [0, []]);
    assert.match(info.stdout, /Encapsulation in use by packets.*: Raw IP|encapsulation: +Raw IP/i);
  });

  test('pieces of any size give whole blocks, and what they tell', () => {
    const property = fc.property(
      fc.array(packets, { maxLength: 20 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 3_000 })),
      (list, sizes) => {
        const statistics = { startMicros: 0, endMicros: 1, received: 99, dropped: 2 ** 34 };
        const whole = Buffer.concat([
          pcapng.sectionHeader({ application: 'a' }),
          ...list.map((packet) => pcapng.enhancedPacket(packet)),
          pcapng.interfaceStatistics({ ...statistics, comment: 'odd' }),
        ]);
        const cutter = new BlockCutter();
        const got: Buffer[] = [];
        for (let at = 0; at < whole.length; ) {
          const size = sizes.next().value as number;
          // Taken out of what may be written over later, as a socket's buffer is.
          got.push(Buffer.from(cutter.take(whole.subarray(at, at + size))));
          at += size;
          const before = Buffer.concat(got);
          for (let start = 0; start < before.length; start += before.readUInt32LE(start + 4)) {
            assert.ok(start + before.readUInt32LE(start + 4) <= before.length);
          }
        }
        assert.deepEqual(Buffer.concat(got), whole);
        const totals = { packets: list.length, bytes: whole.length, lost: 2 ** 34, closed: true };
        assert.deepEqual(cutter.totals(), totals);
      },
    );
    fc.assert(property, { seed: runSeed(), numRuns: 50 });
  });

  test('what is no pcapng is refused', () => {
    const bad = [new Uint8Array(8), Buffer.from('HTTP/1.1 200 OK'), Buffer.alloc(12, 0xff)];
    for (const bytes of bad) assert.throws(() => new BlockCutter().take(bytes), BrokenStream);
  });
});

/** Root is warned of itself; nothing else may be said. */
function warnings(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line !== '' && !/^Running as user "root"/.test(line));
}
