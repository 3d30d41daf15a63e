/**
 * Fuzzing with a seed, a corpus and a time box. A case is a string of bytes from which a target
 * makes all that it needs, so its hexadecimal text repeats it. Cases of `test/corpus/TARGET/*.hex`
 * (lines that begin with # say why they are there) are replayed first, and bred from afterwards.
 *
 * TEST_FUZZ_SECONDS is the time for each target, 2 unless told otherwise; `make fuzz` gives more.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createRandom, type Random, runSeed } from './random.ts';

export interface Target {
  /** Also its folder of the corpus. */
  readonly name: string;
  generate(random: Random): Uint8Array;
  /** Throws where a truth does not hold; else says what kind of case it was. */
  check(bytes: Uint8Array): string;
  /** Kinds that must come up, or the fuzzing would say nothing. */
  readonly kinds: readonly string[];
}

const CORPUS = fileURLToPath(new URL('../../../test/corpus', import.meta.url));
const SECONDS = Number(process.env.TEST_FUZZ_SECONDS ?? (process.env.TEST_QUICK === '1' ? 0 : 2));
/** However slow the machine: fewer rounds than these would not show every kind. */
const LEAST_ROUNDS = 2_000;
/** Tries to make a failing case smaller. */
const SHRINKS = 2_000;

interface Case {
  readonly file: string;
  readonly bytes: Uint8Array;
}

function readCorpus(name: string): Case[] {
  const folder = join(CORPUS, name);
  const files = readdirSync(folder).filter((file) => file.endsWith('.hex'));
  return files.sort().map((file) => {
    const lines = readFileSync(join(folder, file), 'utf8').split('\n');
    const hex = lines.filter((line) => !line.startsWith('#')).join('');
    return { file, bytes: Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')) };
  });
}

/** Registers the tests of a target. */
export function fuzz(target: Target): void {
  const corpus = readCorpus(target.name);
  describe(`fuzz ${target.name}`, () => {
    test('the corpus', () => {
      assert.ok(corpus.length > 0);
      for (const { file, bytes } of corpus) {
        attempt(target, bytes, (error) => new Error(`${file}: ${messageOf(error)}`));
      }
    });

    test(`${SECONDS} s of cases`, () => {
      const seed = runSeed();
      const cases = corpus.map(({ bytes }) => bytes);
      const seen = explore(target, createRandom(seed), { cases, seed });
      for (const kind of target.kinds) assert.ok(seen.has(kind), `no case of '${kind}'`);
    });
  });
}

function attempt(target: Target, bytes: Uint8Array, explain: (error: unknown) => Error): string {
  try {
    return target.check(bytes);
  } catch (error) {
    throw explain(error);
  }
}

function explore(
  target: Target,
  random: Random,
  from: { readonly cases: readonly Uint8Array[]; readonly seed: number },
): ReadonlySet<string> {
  const seen = new Set<string>();
  const end = performance.now() + SECONDS * 1000;
  for (let round = 0; round < LEAST_ROUNDS || performance.now() < end; round++) {
    const parent = random.oneIn(4) ? random.pick(from.cases) : target.generate(random);
    const bytes = random.oneIn(3) ? parent : mutated(parent, random);
    seen.add(attempt(target, bytes, (error) => report(target, bytes, error, from.seed)));
  }
  return seen;
}

/** A few bytes changed, taken out, doubled, or the end cut off. */
function mutated(bytes: Uint8Array, random: Random): Uint8Array {
  let result = bytes.slice();
  for (let changes = random.between(1, 4); changes > 0 && result.length > 0; changes--) {
    const at = random.below(result.length);
    const length = random.below(Math.min(result.length - at, 40) + 1);
    const change = random.pick([
      () => result.with(at, result[at] ^ (1 << random.below(8))),
      () => result.with(at, random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)])),
      () => result.with(random.below(Math.min(result.length, 40)), random.below(256)),
      () => Uint8Array.of(...result.slice(0, at), ...result.slice(at + length)),
      () => Uint8Array.of(...result.slice(0, at + length), ...result.slice(at)),
      () => result.slice(0, at),
    ]);
    result = change();
  }
  return result;
}

function fails(target: Target, bytes: Uint8Array): boolean {
  try {
    target.check(bytes);
    return false;
  } catch {
    return true;
  }
}

/** Leaves out what the failure does not need, halves first. */
function shrink(target: Target, found: Uint8Array): Uint8Array {
  let bytes = found;
  let tries = 0;
  for (let size = bytes.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < bytes.length && tries < SHRINKS; tries++) {
      const smaller = Uint8Array.of(...bytes.slice(0, at), ...bytes.slice(at + size));
      if (fails(target, smaller)) bytes = smaller;
      else at += size;
    }
  }
  return bytes;
}

function report(target: Target, found: Uint8Array, error: unknown, seed: number): Error {
  const hex = Buffer.from(shrink(target, found)).toString('hex');
  const keep = `Keep it: test/corpus/${target.name}/NAME.hex. Repeat with TEST_SEED=${seed}`;
  return new Error(`${messageOf(error)}\nthe case: ${hex}\n${keep}`, { cause: error });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
