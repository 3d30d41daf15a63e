import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test, { describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FLANNEL_FLAGS } from '../../src/config/flannel-flags.ts';
import { OPTIONS, type OptionRow, optionsOf } from '../../src/config/options.ts';
import { optionName } from '../../src/config.ts';
import { run } from '../support/process.ts';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const PAGE = fileURLToPath(new URL('../../../docs/flannel-flags.md', import.meta.url));

const compare = (...format: string[]) =>
  run([process.execPath, CLI, 'flags', '--compare', ...format]);

describe("the table of flannel's flags", () => {
  test('has each of them once, with a reason for what is not honoured', () => {
    const names = FLANNEL_FLAGS.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const { name, treatment, note } of FLANNEL_FLAGS) {
      assert.ok(treatment === 'honoured' || note !== '', name);
    }
  });

  test('honours what weft has an option for', () => {
    const rows: OptionRow<unknown>[] = Object.values(OPTIONS);
    for (const row of rows.filter(({ flannel }) => flannel === true)) {
      const found = FLANNEL_FLAGS.find(({ name }) => name === optionName(row));
      assert.equal(found?.treatment, 'honoured', row.flags);
      assert.equal(found?.takesValue, row.flags.includes('<'), row.flags);
    }
  });

  test('promises no option that weft run has not', () => {
    const names = optionsOf('run').map(([, row]) => optionName(row));
    for (const { name, treatment } of FLANNEL_FLAGS) {
      // --version is read in front of all options.
      if (treatment === 'honoured' && name !== 'version') assert.ok(names.includes(name), name);
    }
  });

  test('is shown on the terminal, a line a flag', () => {
    const lines = compare().trimEnd().split('\n');
    assert.equal(lines.length, FLANNEL_FLAGS.length + 1);
    assert.match(lines[0]!, /^FLAG +FLANNEL DEFAULT +WEFT +NOTE$/);
    assert.ok(lines.some((line) => /^--kube-subnet-mgr +false +refused +\w/.test(line)));
  });

  test('is shown as JSON', () => {
    const rows = JSON.parse(compare('-o', 'json')) as { flag: string; weft: string }[];
    assert.deepEqual(
      rows.map(({ flag, weft }) => [flag, weft]),
      FLANNEL_FLAGS.map(({ name, treatment }) => [name, treatment]),
    );
  });

  test('is the page in docs', () => {
    assert.equal(readFileSync(PAGE, 'utf8'), compare('-o', 'markdown'));
  });
});
