import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  checkJson,
  compact,
  decodeString,
  guarded,
  LIMITS,
  parseJson,
  splitObject,
} from '../../src/untrusted/json.ts';
import { runSeed } from '../support/random.ts';
import { rounds } from '../support/rounds.ts';

const LIMIT = { bytes: 100_000, depth: 16 };

/** The tree of a text, or undefined where JSON.parse refuses it. */
function slowParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Texts around JSON: true ones, and ones with a few letters changed. */
const texts = fc
  .tuple(
    fc.json({ maxDepth: 6 }),
    fc.nat(),
    fc.constantFrom('', '', '"', '{', ']', ',', ':', '\\', '0', '-', '.', 'e', ' ', '\n', '\u0001'),
    fc.nat({ max: 2 }),
  )
  .map(([json, place, letter, cut]) => {
    const at = place % (json.length + 1);
    return letter === '' ? json : json.slice(0, at) + letter + json.slice(at + cut);
  });

describe('JSON of others', () => {
  test('is taken exactly where JSON.parse takes it', () => {
    const property = fc.property(texts, (text) => {
      assert.equal(checkJson(text, LIMIT).ok, slowParse(text) !== undefined, text);
    });
    fc.assert(property, { seed: runSeed(), numRuns: rounds(20_000) });
  });

  test('is refused for too many members before they pile up', () => {
    const of = (count: number) => `{${'"a":1,'.repeat(count - 1)}"b":[1,2,3]}`;
    const limit = { ...LIMIT, members: 100 };
    assert.ok(splitObject(of(100), limit).ok);
    assert.deepEqual(splitObject(of(101), limit), {
      ok: false,
      reason: 'longer than 100 entries',
    });
    const file = splitObject(of(5_000_000), LIMITS.leaseFile);
    assert.match(file.ok ? '' : file.reason, /^longer than 131072 entries$/);
  });

  test('has its fault told by line and column', () => {
    for (const [text, place] of [
      ['x', 'line 1, column 1'],
      ['\n x', 'line 2, column 2'],
      ['{"a":1,\n\n "b" 1}', 'line 3, column 6'],
      ['{\n', 'line 2, column 1'],
      [`{${'\n'.repeat(30_000)}x`, 'line 30001, column 1'],
    ] as const) {
      const read = splitObject(text, LIMIT);
      assert.match(read.ok ? '' : read.reason, new RegExp(`${place}:`), text.slice(0, 20));
    }
  });

  test('is cut into members that say what JSON.parse says', () => {
    const object = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue());
    const property = fc.property(object, fc.nat({ max: 3 }), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      const members = splitObject(text, LIMIT);
      assert.ok(members.ok, text);
      const again = members.value.map(({ name, text }) => [name, JSON.parse(text)]);
      // A half surrogate pair is not kept: Go's decoder puts U+FFFD there.
      const expected = Object.entries(JSON.parse(text)).map(([name, member]) => {
        return [Buffer.from(name).toString(), member];
      });
      assert.deepEqual(again, expected);
      assert.deepEqual(JSON.parse(compact(text)), JSON.parse(text));
      assert.ok(indent === 0 || compact(text).length <= text.length);
    });
    fc.assert(property, { seed: runSeed(), numRuns: rounds(5_000) });
  });

  const faults: readonly [text: string, reason: RegExp][] = [
    ['', /^not JSON: line 1, column 1: it ends in place of a value$/],
    ['{"a":1', /column 7: it ends in place of , or }$/],
    ['{"a" 1}', /column 6: 1 in place of :$/],
    ['{\n  "a": 1,\n  b: 2\n}', /^not JSON: line 3, column 3: b in place of a name in quotes$/],
    ['[1 2]', /2 in place of , or \]$/],
    ['"\t"', /\\t in a text in quotes$/],
    ['"\\x"', /begins an escape that JSON does not know$/],
    ['"\\u12g4"', /begins an escape/],
    ['01', /1 after the value$/],
    ['nulll', /l after the value$/],
    ['\u202e', /\\u202e in place of a value$/],
  ];
  for (const [text, reason] of faults) {
    test(`${JSON.stringify(text)} is refused by line and column`, () => {
      const checked = checkJson(text, LIMIT);
      assert.ok(!checked.ok);
      assert.match(checked.reason, reason);
    });
  }

  test('is refused beyond its depth and its length, however deep, wide or long', () => {
    const nest = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
    for (const make of [nest, objects]) {
      assert.ok(checkJson(make(16), LIMIT).ok);
      const deep = checkJson(make(17), LIMIT);
      assert.ok(!deep.ok);
      assert.match(deep.reason, /nested more than 16 deep/);
    }
    // Ten million: nothing here calls itself.
    const huge = { bytes: 1e9, depth: 1e9 };
    for (const text of [nest(5_000_000), objects(1_000_000), `[${'1,'.repeat(5_000_000)}1]`]) {
      assert.ok(checkJson(text, huge).ok);
      assert.ok(!checkJson(text, LIMIT).ok);
    }
    assert.ok(splitObject(`{"a":${nest(1_000_000)}}`, huge).ok);
    const wide = splitObject(`{"a":"${'é'.repeat(60_000)}"}`, LIMIT);
    assert.match(wide.ok ? '' : wide.reason, /too long: 120008 bytes, where at most 100000/);
  });

  test('a half of a surrogate pair in it is what Go makes of it', () => {
    assert.equal(decodeString('"\\ud83d\\ude00 \\ud83d \\ude00"'), '😀 \ufffd \ufffd');
  });

  test('that a mistake of ours cannot deal with costs itself alone', () => {
    const read = guarded(() => {
      throw new RangeError(`${'x'.repeat(1000)}\u001b[31m`);
    });
    assert.ok(!read.ok);
    assert.match(
      read.reason,
      /^weft cannot handle it \(please report it\): RangeError: x+… \(\d+ more characters\)$/,
    );
  });

  test('of our own programs is read into a tree', () => {
    assert.deepEqual(parseJson('{"a":[1]}', LIMIT), { ok: true, value: { a: [1] } });
    assert.ok(!parseJson('{"a":[1]', LIMIT).ok);
  });
});
