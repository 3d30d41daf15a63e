/** Every test that docs/defects.md names is there, and every defect has one. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { describe } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** flannel's known defects are numbered B1 to B22. */
const DEFECTS = 22;

interface Witness {
  readonly row: string;
  readonly file: string;
  readonly name: string;
}

/** The last cell of each row: "`file`: name; `file`: name", where a name may hold colons. */
function witnesses(page: string): Witness[] {
  const rows = page.split('\n').filter((line) => /^\| /.test(line) && line.includes(' | `'));
  return rows.flatMap((row) => {
    const cells = row.split(' | ');
    const last = cells.at(-1)!.replace(/ \|$/, '');
    const found = last.split(/; (?=`)/).map((text) => /^`([^`]+)`: (.+)$/.exec(text));
    return found.map((match) => {
      assert.ok(match, `not of the form "\`file\`: name": ${last}`);
      return { row: cells[0]!.replace(/^\| /, ''), file: match[1]!, name: match[2]! };
    });
  });
}

function sourceOf(file: string): string | undefined {
  const paths = [`test/${file}.test.ts`, `test/${file}.ts`].map((path) => join(ROOT, path));
  const path = paths.find((candidate) => existsSync(candidate));
  return path && readFileSync(path, 'utf8');
}

/** Whether a text stands in a source as a whole string. */
function names(source: string, name: string): boolean {
  const spelled = [name, name.replaceAll("'", "\\'")];
  return spelled.some((text) => ["'", '"', '`'].some((q) => source.includes(`${q}${text}${q}`)));
}

describe("the page of flannel's defects", () => {
  const page = readFileSync(join(ROOT, 'docs/defects.md'), 'utf8');
  const all = witnesses(page);

  test('has every defect', () => {
    const rows = new Set(all.map(({ row }) => row));
    const wanted = Array.from({ length: DEFECTS }, (_, index) => `B${index + 1}`);
    assert.deepEqual(
      wanted.filter((row) => !rows.has(row)),
      [],
    );
  });

  test('names tests that are there', () => {
    const missing = all.filter(({ file, name }) => {
      const source = sourceOf(file);
      return source === undefined || !names(source, name);
    });
    assert.deepEqual(missing, []);
  });

  test('would be found out', () => {
    const wrong = '| B1 | a | b | `lease/network`: no such test |';
    const [witness] = witnesses(wrong);
    assert.equal(names(sourceOf(witness!.file)!, witness!.name), false);
  });
});
