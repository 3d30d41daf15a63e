/**
 * Seeded randomness. A test that uses it runs inside `withSeed`, so that its failure names the
 * seed; `TEST_SEED=<seed>` then repeats it exactly.
 */

export interface Random {
  /** 0 to 2^32 - 1. */
  uint32(): number;
  /** 0 to `limit` - 1. */
  below(limit: number): number;
  /** `least` to `most`, both possible. */
  between(least: number, most: number): number;
  /** True once in `times`. */
  oneIn(times: number): boolean;
  pick<T>(choices: readonly T[]): T;
  fill(bytes: Uint8Array): Uint8Array;
  bytes(length: number): Uint8Array;
}

/** A generator that depends on the seed alone (xorshift32 over a mixed seed; Marsaglia, 2003). */
export function createRandom(seed: number): Random {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 0 || 1;
  const uint32 = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    // The multiplication breaks up the linear pattern that xorshift leaves in the low bits.
    return Math.imul(state, 0x2c9277b5) >>> 0;
  };
  const below = (limit: number) => Math.floor((uint32() / 0x100000000) * limit);
  const fill = (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length; at++) bytes[at] = uint32() >>> 24;
    return bytes;
  };
  return {
    uint32,
    below,
    between: (least, most) => least + below(most - least + 1),
    oneIn: (times) => below(times) === 0,
    pick: (choices) => choices[below(choices.length)],
    fill,
    bytes: (length) => fill(new Uint8Array(length)),
  };
}

/** The seed of this run: TEST_SEED if set, else a new one. Also for fast-check's `seed`. */
export function runSeed(): number {
  const given = process.env.TEST_SEED;
  if (given === undefined) return (Math.random() * 0x7fffffff) | 0;
  const seed = Number(given);
  if (!Number.isInteger(seed)) throw new Error(`TEST_SEED must be a whole number, not "${given}"`);
  return seed | 0;
}

/** Runs a randomised test; if it fails, the error says how to repeat it. */
export function withSeed(run: (random: Random) => void, seed = runSeed()): void {
  try {
    run(createRandom(seed));
  } catch (error) {
    throw repeatable(error, seed);
  }
}

/** The same for a test that waits. */
export async function withSeedAsync(
  run: (random: Random) => Promise<void>,
  seed = runSeed(),
): Promise<void> {
  try {
    await run(createRandom(seed));
  } catch (error) {
    throw repeatable(error, seed);
  }
}

function repeatable(error: unknown, seed: number): Error {
  const message = error instanceof Error ? error.message : String(error);
  return new Error(`${message}\nRepeat with TEST_SEED=${seed}`, { cause: error });
}
