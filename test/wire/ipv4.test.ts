import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  buildIpv4,
  checkIpv4,
  decrementTimeToLive,
  destination,
  fragmentField,
  fragmentOffset,
  hasDontFragment,
  hasMoreFragments,
  headerChecksum,
  headerChecksumValid,
  headerLength,
  IPV4_BAD_HEADER_LENGTH,
  IPV4_BAD_TOTAL_LENGTH,
  IPV4_NOT_VERSION_4,
  IPV4_TOO_SHORT,
  identification,
  protocol,
  setHeaderChecksum,
  setIdentification,
  setTotalLength,
  setTypeOfService,
  source,
  timeToLive,
  totalLength,
  typeOfService,
  version,
  writeHeaderChecksum,
} from '../../src/wire/ipv4.ts';
import { ipv4, pattern } from '../support/packets.ts';
import { runSeed, withSeed } from '../support/random.ts';
import { slowChecksum } from '../support/slow-checksum.ts';

const seed = runSeed();
const AT = 3;

// A real header with every field set apart from its neighbours, and four bytes of options.
const HEADER = [
  ...[0x46, 0xb9, 0x00, 0x1b, 0xbe, 0xef, 0x60, 0xb9, 0x40, 0x11, 0xf6, 0x77],
  ...[0x0a, 0xf4, 0x01, 0x02, 0xc0, 0x00, 0x02, 0xfe, 0x94, 0x04, 0x00, 0x00],
];
const PACKET = Uint8Array.from([...HEADER, 0xaa, 0xbb, 0xcc]);

function placed(packet: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(AT + packet.length + 5).fill(0xa5);
  bytes.set(packet, AT);
  return bytes;
}

test('fields of a literal packet', () => {
  const bytes = placed(PACKET);
  assert.equal(checkIpv4(bytes, AT, PACKET.length), 0);
  const fields: [(bytes: Uint8Array, at: number) => number | boolean, number | boolean][] = [
    [version, 4],
    [headerLength, 24],
    [typeOfService, 0xb9],
    [totalLength, 27],
    [identification, 0xbeef],
    [fragmentField, 0x60b9],
    [hasDontFragment, true],
    [hasMoreFragments, true],
    [fragmentOffset, 0xb9 * 8],
    [timeToLive, 64],
    [protocol, 17],
    [headerChecksum, 0xf677],
    [source, 0x0af40102],
    [destination, 0xc00002fe],
  ];
  for (const [accessor, value] of fields) assert.equal(accessor(bytes, AT), value, accessor.name);
  assert.equal(headerChecksum(bytes, AT), slowChecksum(Uint8Array.from(HEADER).fill(0, 10, 12)));
});

test('flags and offset are told apart', () => {
  const cases: [number, boolean, boolean, number][] = [
    [0x0000, false, false, 0],
    [0x4000, true, false, 0],
    [0x2000, false, true, 0],
    [0x1fff, false, false, 65_528],
    [0x8000, false, false, 0],
  ];
  for (const [field, dontFragment, moreFragments, offset] of cases) {
    const bytes = Uint8Array.from(HEADER);
    bytes[6] = field >> 8;
    bytes[7] = field & 0xff;
    assert.equal(hasDontFragment(bytes, 0), dontFragment);
    assert.equal(hasMoreFragments(bytes, 0), moreFragments);
    assert.equal(fragmentOffset(bytes, 0), offset);
  }
});

test('impossible lengths and versions are named', () => {
  const change = (at: number, ...values: number[]) => {
    const packet = Uint8Array.from(PACKET);
    packet.set(values, at);
    return packet;
  };
  const cases: [string, Uint8Array, number, number][] = [
    ['nothing', PACKET, 0, IPV4_TOO_SHORT],
    ['a byte short of a header', PACKET, 19, IPV4_TOO_SHORT],
    ['IPv6', change(0, 0x66), 27, IPV4_NOT_VERSION_4],
    ['version 0', change(0, 0x06), 27, IPV4_NOT_VERSION_4],
    ['version 5', change(0, 0x56), 27, IPV4_NOT_VERSION_4],
    ['header length 0', change(0, 0x40), 27, IPV4_BAD_HEADER_LENGTH],
    ['header length 16', change(0, 0x44), 27, IPV4_BAD_HEADER_LENGTH],
    ['header past the end', change(0, 0x47), 27, IPV4_BAD_HEADER_LENGTH],
    ['longest header past the end', change(0, 0x4f), 27, IPV4_BAD_HEADER_LENGTH],
    ['header cut off', PACKET, 23, IPV4_BAD_HEADER_LENGTH],
    ['total length 0', change(2, 0, 0), 27, IPV4_BAD_TOTAL_LENGTH],
    ['total length under the header', change(2, 0, 23), 27, IPV4_BAD_TOTAL_LENGTH],
    ['total length a byte less', change(2, 0, 26), 27, IPV4_BAD_TOTAL_LENGTH],
    ['total length a byte more', change(2, 0, 28), 27, IPV4_BAD_TOTAL_LENGTH],
    ['total length of the other order', change(2, 27, 0), 27, IPV4_BAD_TOTAL_LENGTH],
    ['truncated payload', PACKET, 26, IPV4_BAD_TOTAL_LENGTH],
    ['header alone', change(2, 0, 24), 24, 0],
    ['as it should be', PACKET, 27, 0],
  ];
  for (const [name, packet, length, verdict] of cases) {
    assert.equal(checkIpv4(placed(packet), AT, length), verdict, name);
  }
});

test('the longest header and the longest packet pass', () => {
  const longest = ipv4(new Uint8Array(65_535 - 60), { options: new Uint8Array(40).fill(1) });
  assert.equal(longest.length, 65_535);
  assert.equal(checkIpv4(longest, 0, longest.length), 0);
  assert.ok(headerChecksumValid(longest, 0));
});

test('what is built reads back, and nothing else is touched', () => {
  const word = fc.integer({ min: 0, max: 0xffff });
  const byte = fc.integer({ min: 0, max: 0xff });
  const address = fc.integer({ min: 0, max: 0xffffffff });
  const record = fc.record({
    typeOfService: byte,
    totalLength: word,
    identification: word,
    fragmentField: word,
    timeToLive: byte,
    protocol: byte,
    source: address,
    destination: address,
  });
  fc.assert(
    fc.property(record, (fields) => {
      const bytes = new Uint8Array(AT + 25).fill(0xa5);
      assert.equal(buildIpv4(bytes, AT, fields), 20);
      const { typeOfService: _, ...rest } = fields;
      const read = { totalLength, identification, fragmentField, timeToLive, protocol };
      for (const [name, accessor] of Object.entries({ ...read, source, destination })) {
        assert.equal(accessor(bytes, AT), rest[name as keyof typeof rest], name);
      }
      assert.equal(typeOfService(bytes, AT), fields.typeOfService);
      assert.equal(version(bytes, AT), 4);
      assert.equal(headerLength(bytes, AT), 20);
      assert.ok(headerChecksumValid(bytes, AT));
      assert.equal(slowChecksum(bytes, AT, 20), 0);
      assert.ok(bytes.subarray(0, AT).every((value) => value === 0xa5));
      assert.ok(bytes.subarray(AT + 20).every((value) => value === 0xa5));
    }),
    { seed },
  );
});

test('setters change their own field alone', () => {
  const bytes = placed(PACKET);
  setTypeOfService(bytes, AT, 0x12);
  setTotalLength(bytes, AT, 0x3456);
  setIdentification(bytes, AT, 0x789a);
  setHeaderChecksum(bytes, AT, 0xbcde);
  const expected = placed(PACKET);
  expected.set([0x12, 0x34, 0x56, 0x78, 0x9a], AT + 1);
  expected.set([0xbc, 0xde], AT + 10);
  assert.deepEqual(bytes, expected);
});

test('the header checksum covers the options, and every flipped bit is seen', () => {
  const bytes = placed(PACKET);
  writeHeaderChecksum(bytes, AT);
  assert.ok(headerChecksumValid(bytes, AT));
  for (let bit = 0; bit < 24 * 8; bit++) {
    // A flip in the header length itself changes what is summed, and may by chance sum right.
    if (bit >= 4 && bit < 8) continue;
    const at = AT + (bit >> 3);
    bytes[at] ^= 0x80 >> (bit & 7);
    assert.ok(!headerChecksumValid(bytes, AT), `bit ${bit}`);
    bytes[at] ^= 0x80 >> (bit & 7);
  }
});

test('one hop: every time to live with every protocol', () => {
  for (let word = 0; word <= 0xffff; word++) {
    const bytes = Uint8Array.from(HEADER);
    bytes[8] = word >> 8;
    bytes[9] = word & 0xff;
    bytes.set([0, 0], 10);
    const checksum = slowChecksum(bytes);
    bytes.set([checksum >> 8, checksum & 0xff], 10);
    const before = Uint8Array.from(bytes);
    const went = decrementTimeToLive(bytes, 0);
    assert.equal(went, word >> 8 > 1);
    if (!went) assert.deepEqual(bytes, before);
    else if (bytes[8] !== before[8] - 1 || slowChecksum(bytes) !== 0) {
      assert.fail(`word ${word.toString(16)}`);
    }
  }
});

test('one hop: the patched checksum equals the recomputed one, down to the last hop', () => {
  withSeed((random) => {
    for (let round = 0; round < 300; round++) {
      const fields = { timeToLive: random.below(256), identification: random.below(0x10000) };
      const bytes = ipv4(pattern(4), { ...fields, options: random.bytes(random.below(40)) });
      const recomputed = Uint8Array.from(bytes);
      while (decrementTimeToLive(bytes, 0)) {
        recomputed[8]--;
        writeHeaderChecksum(recomputed, 0);
        assert.deepEqual(bytes, recomputed);
      }
      assert.equal(timeToLive(bytes, 0), Math.min(fields.timeToLive, 1));
    }
  });
});

test('one hop keeps a wrong checksum wrong', () => {
  const bytes = ipv4(pattern(4));
  bytes[11] ^= 1;
  assert.ok(decrementTimeToLive(bytes, 0));
  assert.ok(!headerChecksumValid(bytes, 0));
});
