import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addSum,
  complement,
  fold,
  loadSum,
  patchChecksum,
  pseudoHeaderSum4,
  pseudoHeaderSum6,
  type Sum,
  sumHeader,
} from '../../src/wire/checksum.ts';
import { ipv4, ipv6, pattern, tcp4, tcp6, udp4, udp6 } from '../support/packets.ts';
import { withSeed } from '../support/random.ts';
import { slowAdd, slowChecksum, slowSum } from '../support/slow-checksum.ts';

const PAGE = 65_536;
const LONGEST = 9001;

function memoryOf(pages: number): { bytes: Uint8Array; sum: Sum } {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  return { bytes: new Uint8Array(memory.buffer), sum: loadSum(memory) };
}

/** Compares every length from 0, growing the slow sum by a byte at a time. */
function compareEveryLength(bytes: Uint8Array, at: number, sum: Sum): void {
  let even = 0;
  for (let length = 0; length <= LONGEST; length++) {
    const isOdd = length % 2 === 1;
    const slow = isOdd ? slowAdd(even, bytes[at + length - 1] * 256) : even;
    if (sum(at, length) !== slow) assert.equal(sum(at, length), slow, `at ${at}, ${length} bytes`);
    const plain = fold(sumHeader(bytes, at, length < 130 ? length : 0));
    if (length < 130 && plain !== slow) assert.equal(plain, slow, `plain, ${length} bytes`);
    if (isOdd) even = slowAdd(slow, bytes[at + length]);
  }
  assert.equal(even, slowSum(bytes, at, LONGEST + 1), 'the twin grown by bytes and the twin');
}

test('the sum equals its slow twin at every length to 9001 and every alignment', () => {
  const { bytes, sum } = memoryOf(1);
  withSeed((random) => {
    random.fill(bytes);
    for (let alignment = 0; alignment < 16; alignment++) {
      compareEveryLength(bytes, 256 + alignment, sum);
    }
  });
});

test('the sum is right up to the last byte of memory and for the longest packet', () => {
  const { bytes, sum } = memoryOf(2);
  withSeed((random) => {
    random.fill(bytes);
    for (const length of [65_534, 65_535, 65_536]) {
      for (let alignment = 0; alignment < 16; alignment++) {
        assert.equal(sum(alignment, length), slowSum(bytes, alignment, length));
      }
      assert.equal(sum(2 * PAGE - length, length), slowSum(bytes, 2 * PAGE - length, length));
    }
    for (let length = 0; length < 200; length++) {
      assert.equal(sum(2 * PAGE - length, length), slowSum(bytes, 2 * PAGE - length, length));
    }
  });
});

test('neither all zeros nor all ones overflow', () => {
  const { bytes, sum } = memoryOf(16);
  for (const length of [0, 1, 2, 63, 64, 65, 1420, 9001, 65_535, 65_536, 16 * PAGE]) {
    bytes.fill(0);
    assert.equal(sum(0, length), 0, `${length} zeros`);
    bytes.fill(0xff);
    assert.equal(sum(0, length), slowSum(bytes, 0, length), `${length} ones`);
  }
});

test('only the bytes asked for count', () => {
  const { bytes, sum } = memoryOf(1);
  bytes.fill(0xff);
  for (let length = 0; length < 300; length++) {
    bytes.fill(0, 512, 512 + length);
    assert.equal(sum(512, length), 0);
  }
});

test('two memories of different size are summed apart', () => {
  const small = memoryOf(1);
  const large = memoryOf(70);
  small.bytes.set([0x12, 0x34]);
  large.bytes.set([0x56, 0x78], 69 * PAGE);
  assert.equal(small.sum(0, 2), 0x1234);
  assert.equal(large.sum(69 * PAGE, 2), 0x5678);
});

test('fold, complement and addSum at their edges', () => {
  const cases: [number, number][] = [
    [0, 0],
    [0xffff, 0xffff],
    [0x10000, 1],
    [0x1fffe, 0xffff],
    [0x1ffff, 1],
    [0xffff0000, 0xffff],
    [0xffffffff, 0xffff],
  ];
  for (const [sum, folded] of cases) {
    assert.equal(fold(sum), folded);
    assert.equal(complement(sum), 0xffff - folded);
  }
  assert.equal(addSum(0xffff, 1), 1);
  assert.equal(addSum(0xffff_ffff, 0x1_0000), 1);
  assert.equal(addSum(0x1234, 0x4321), 0x5555);
});

test('the sum of whole transport segments with their pseudo-header is all ones', () => {
  withSeed((random) => {
    for (let round = 0; round < 200; round++) {
      const payload = random.bytes(random.below(200));
      const four = random.pick([tcp4, udp4])(payload);
      const header = pseudoHeaderSum4(four, 0, four[9], four.length - 20);
      assert.equal(fold(header + sumHeader(four, 20, four.length - 20)), 0xffff);
      const six = random.pick([tcp6, udp6])(payload);
      const header6 = pseudoHeaderSum6(six, 0, six[6], six.length - 40);
      assert.equal(fold(header6 + sumHeader(six, 40, six.length - 40)), 0xffff);
    }
  });
});

test('pseudo-header sums look only at addresses and arguments', () => {
  const four = ipv4(pattern(8), { source: '1.2.3.4', destination: '255.254.253.252' });
  assert.equal(
    pseudoHeaderSum4(four, 0, 6, 0xffff),
    0x0102 + 0x0304 + 0xfffe + 0xfdfc + 6 + 0xffff,
  );
  const six = ipv6(pattern(8), {
    source: new Uint8Array(16).fill(0xff),
    destination: new Uint8Array(16).fill(1),
  });
  const addresses = 8 * 0xffff + 8 * 0x0101;
  assert.equal(pseudoHeaderSum6(six, 0, 58, 0x12345), addresses + 1 + 0x2345 + 58);
});

// Every word against every edge. The data is never all zeros, for which alone equation 3 gives
// the other of the two forms of zero; a header, with its version, never is.
test('a patched checksum equals a recomputed one', () => {
  const edges = [0, 1, 2, 0xff, 0x100, 0x7fff, 0x8000, 0xff00, 0xfffe, 0xffff];
  const recomputed = (rest: number, word: number) => 0xffff - slowAdd(rest, word);
  let wrong = 0;
  for (const rest of edges.slice(1)) {
    for (const edge of edges) {
      for (let word = 0; word <= 0xffff; word++) {
        const there = patchChecksum(recomputed(rest, edge), edge, word);
        const back = patchChecksum(recomputed(rest, word), word, edge);
        if (there !== recomputed(rest, word) || back !== recomputed(rest, edge)) wrong++;
      }
    }
  }
  assert.equal(wrong, 0);
});

test('the example of RFC 1624 §4', () => {
  assert.equal(patchChecksum(0xdd2f, 0x5555, 0x3285), 0x0000);
});

test('the slow twin agrees with the example of RFC 1071 §3', () => {
  const example = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
  assert.equal(slowSum(example, 0, 8), 0xddf2);
  assert.equal(slowChecksum(example), 0x220d);
});
