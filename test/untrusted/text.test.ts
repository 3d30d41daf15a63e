import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import fc from 'fast-check';
import { print } from '../../src/cli/format/print.ts';
import { type Column, renderTable, wrap } from '../../src/cli/format/table.ts';
import { paintFor, toTerminal } from '../../src/cli/format/terminal.ts';
import * as text from '../../src/untrusted/text.ts';
import { HOSTILE, rawControls } from '../support/hostile.ts';
import { rounds } from '../support/rounds.ts';

const anyText = fc.string({ unit: 'binary', maxLength: 40 });
const mixed = fc.array(fc.oneof(anyText, fc.constant(HOSTILE))).map((parts) => parts.join(''));

describe('text of others', () => {
  const cases: [string, string][] = [
    ['10.244.1.0-24', '10.244.1.0-24'],
    ['\u001b[31mEVIL', '\\u001b[31mEVIL'],
    ['a\nb\tc\rd', 'a\\nb\\tc\\rd'],
    ['\u009b31m \u007f', '\\u009b31m \\u007f'],
    ['\u202eabc', '\\u202eabc'],
    ['\u{e0041}', '\\udb40\\udc41'],
    ['\ud800x', '\\ud800x'],
    ['Grüße 漢字 🙂', 'Grüße 漢字 🙂'],
    ['e\u0301', 'e\u0301'],
    ['e\u0301\u0301\u0301', 'e\u0301\u0301\\u0301'],
    ['no\u00a0break', 'no\\u00a0break'],
  ];
  for (const [given, shown] of cases) {
    test(`${JSON.stringify(shown)} is shown`, () => assert.equal(text.escapeText(given), shown));
  }

  test('is the same after a second time', () => {
    fc.assert(
      fc.property(mixed, (given) => {
        const once = text.escapeText(given, 100_000);
        assert.equal(text.escapeText(once, 1_000_000), once);
        assert.deepEqual(rawControls(once), []);
      }),
    );
  });

  test('is cut, and says by how much', () => {
    assert.equal(text.escapeText('x'.repeat(12), 10), `${'x'.repeat(10)}… (2 more characters)`);
    assert.deepEqual(rawControls(text.escapeText(`${'x'.repeat(9)}🙂`, 10)), []);
  });

  test('keeps its value as JSON, and its written form in a log for people', () => {
    fc.assert(
      fc.property(fc.array(fc.dictionary(mixed, mixed)), (value) => {
        const json = text.toShownJson(value);
        assert.deepEqual(JSON.parse(json), JSON.parse(JSON.stringify(value)));
        assert.deepEqual(rawControls(json), []);
        JSON.parse(text.escapeStringsIn(JSON.stringify(value)), (key, found) => {
          for (const part of [key, found]) {
            if (typeof part === 'string') assert.deepEqual(rawControls(`${part}`), []);
            if (typeof part === 'string') assert.doesNotMatch(part, /\n/);
          }
          return found;
        });
      }),
      { numRuns: rounds(100) },
    );
  });

  test('takes as many columns as are counted', () => {
    const widths: [string, number][] = [
      ['abc', 3],
      ['漢字', 4],
      ['e\u0301', 1],
      ['🙂', 2],
      ['ü', 1],
    ];
    for (const [given, columns] of widths) assert.equal(text.displayColumns(given), columns);
  });
});

describe('what leaves for a terminal', () => {
  const colour = paintFor(true, {});

  test('has our colours, and none of somebody else', () => {
    assert.equal(toTerminal(colour('bad', 'x')), '\u001b[31mx\u001b[0m');
    fc.assert(
      fc.property(mixed, (given) => {
        const line = toTerminal(`${given}${colour('good', given)}${given}`, 100_000);
        assert.deepEqual(rawControls(line, true), []);
        assert.equal(line.split('\u001b').length, 3, 'two sequences, both ours');
        assert.doesNotMatch(line, /\n/);
      }),
    );
  });

  test('is in columns, whatever the cells hold', () => {
    const columns: Column<string>[] = [
      { head: 'A', cell: (row) => row },
      { head: 'B', right: true, cell: (row) => row },
      { head: 'C', cell: () => '|' },
    ];
    const rows = ['plain', HOSTILE, '漢字', 'e\u0301', `\u001b[31m${'x'.repeat(2_000)}`];
    const lines = renderTable(columns, rows, (_, cell) => cell).map((line) => toTerminal(line));
    const places = lines.slice(1).map((line) => text.displayColumns(line));
    assert.deepEqual([...new Set(places)].length, 1, 'the last column stands in one place');
    for (const line of wrap(HOSTILE, '  ', 60)) assert.deepEqual(rawControls(line), []);
  });

  test('is bounded', () => {
    assert.ok(toTerminal('\u001b'.repeat(1_000_000)).length < 100_000);
    assert.equal(typeof print, 'function');
  });
});
