/** The SIMD sum against plain reads, over lengths from a header to a superpacket. */
import { loadSum, sumHeader } from '../src/wire/checksum.ts';
import { createRandom } from '../test/support/random.ts';
import { type Case, type MicroBench, mix, packetMemory, type Size } from './harness.ts';

const LENGTHS = { small: [20, 61, 1501], real: [20, 60, 576, 1500, 9000, 65_535] };
/** Starts differ from 16-byte lines, as inner packets behind other headers do. */
const START = 28;

function cases(size: Size): readonly Case[] {
  const { memory, bytes } = packetMemory(2 * 65_536);
  createRandom(1).fill(bytes);
  const sum = loadSum(memory);
  return LENGTHS[size].flatMap((length) => {
    const shared = { pieces: 1, piece: 'sum', bytes: length };
    // Folding by the remainder gives both ways of summing one and the same hash.
    const hash = (value: number) => mix(length, value % 0xffff);
    return [
      { ...shared, name: `SIMD, ${length} byte`, run: () => hash(sum(START, length)) },
      {
        ...shared,
        name: `plain, ${length} byte`,
        run: () => hash(sumHeader(bytes, START, length)),
      },
    ];
  });
}

export const checksum: MicroBench = { name: 'checksum', cases };
