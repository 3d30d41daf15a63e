/** The style as a test: each rule runs over the tree, and is shown to fail on what breaks it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkImports, findDead, ROOMS } from './support/tidy-imports.ts';
import * as rules from './support/tidy-rules.ts';
import { readSources, type Source, source } from './support/tidy-source.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const src = readSources(root, 'src', ['.ts']);
const tests = readSources(root, 'test', ['.ts']);
const benches = readSources(root, 'bench', ['.ts']);
const scripts = readSources(root, 'scripts', ['.sh', '.ts']);
const demo = readSources(root, 'demo', ['.ts']);
const assembly = readSources(root, 'assembly', ['.ts']);
const notes = readSources(root, 'native-notes', ['.md', '.mjs']);
const code = [...src, ...tests, ...benches, ...assembly];
const prose = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'Makefile']
  .filter((name) => existsSync(join(root, name)))
  .map((name) => source(name, readFileSync(join(root, name), 'utf8')));

/** Threads begin here as well as at the command line, and the page does in a browser. */
const ENTRIES = [
  'src/page/main.ts',
  'src/cli.ts',
  'src/dataplane/worker.ts',
  'src/agent/backend/backend.ts',
  'src/cli/go-flags.ts',
  'src/agent/firewall/firewall.ts',
];

function lines(count: number, line: string): string {
  return `${line}\n`.repeat(count);
}

/** A rule, the files it governs, and text that must not pass under the given path. */
interface Rule {
  readonly name: string;
  readonly check: (file: Source) => string[];
  readonly files: readonly Source[];
  readonly broken: readonly Source[];
}

const broken = (text: string, path = 'src/tun/read.ts') => source(path, text);
const hot = (line: string) => broken(`function readOne(): void {\n  ${line}\n}\n`);

const RULES: readonly Rule[] = [
  {
    name: 'lines have at most 100 columns',
    check: rules.checkColumns,
    files: [...code, ...scripts, ...prose.filter(({ path }) => path === 'Makefile')],
    broken: [broken('x'.repeat(rules.COLUMNS + 1))],
  },
  {
    name: 'files have at most 400 lines',
    check: rules.checkFileLength,
    files: [...code, ...scripts],
    broken: [broken(lines(rules.FILE_LINES + 1, 'x'))],
  },
  {
    name: 'functions have at most 70 lines',
    check: rules.checkFunctionLength,
    files: code,
    broken: [
      broken(`export function long(): void {\n${lines(69, '  x();')}}\n`),
      broken(`function long(\n  a: number,\n): void {\n${lines(67, '  x();')}}\n`),
      broken(`test('x', async () => {\n${lines(69, '  x();')}});\n`),
      broken(`class A {\n  private async long(): void {\n${lines(69, '    x();')}  }\n}\n`),
    ],
  },
  {
    name: 'functions have at most 5 parameters',
    check: rules.checkParameters,
    files: code,
    broken: [
      broken('function f(a: A, b: B<C, D>, c: (x: X) => Y, d: [E, F], e: G, f: H): void {\n}\n'),
      broken('const f = (a, b, c, d, e, f) => a;\n'),
    ],
  },
  {
    name: 'the packet path makes nothing per packet',
    check: rules.checkPacketPath,
    files: src,
    broken: [
      ...['try {', 'await x;', 'const a = 1n;', 'y.subarray(1);', 'f(...a);', 'log.info(1);'].map(
        hot,
      ),
      ...['const a = new A();', 'const f = () => 1;', 'a.push(1);', 'const [b] = c;'].map(hot),
      hot('for (const a of b) x();'),
    ],
  },
  {
    name: 'rooms import only what the table allows',
    check: checkImports,
    files: src,
    broken: [
      broken("import { x } from '../udp/send.ts';"),
      broken("import type {\n  X,\n} from '../offload/flow.ts';"),
      broken("const x = await import('../lease/file.ts');"),
      broken("import koffi from 'koffi';", 'src/sys/struct.ts'),
      broken("import { x } from '../cli.ts';", 'src/agent/agent.ts'),
      broken('', 'src/utils/helpers.ts'),
    ],
  },
  {
    name: 'text of others is escaped: it leaves by one door',
    check: rules.checkDoors,
    files: src,
    broken: [
      ...['process.stdout.write(x);', 'console.log(x);', 'writeSync(2, x);'].map((text) =>
        broken(text, 'src/cli/show/status.ts'),
      ),
      broken('response.end(JSON.stringify(x));', 'src/api/request.ts'),
      broken('node.textContent = x;', 'src/page/main.ts'),
    ],
  },
  {
    name: 'the project speaks of itself alone',
    check: rules.checkWords,
    files: [...code, ...scripts, ...notes, ...prose],
    broken: [broken(`// ${'TO'}DO: later`), broken(`see ${'iss'}ue 7`), broken(`/${'root'}/x`)],
  },
  {
    name: 'tests wait for progress, not for a time, and mark what they make',
    check: rules.checkWaits,
    files: [...tests, ...benches, ...demo, ...scripts],
    broken: [
      'await waitFor(x, y, { deadline: 9 });',
      'spawnSync(x, y, { timeout: 9 });',
      'node --test --test-timeout=9',
      'timeout 9 iperf3',
      "mkdtempSync(join(tmpdir(), 'weft-x-'))",
      "run(['ip', 'netns', 'add', 'weft-x']);",
    ].map((text) => broken(text, 'test/x.ts')),
  },
  {
    name: 'every test runs',
    check: rules.checkTestsRun,
    files: tests,
    broken: [`test.${'only'}(1)`, `test(1, { ${'skip'}: true })`].map((text) =>
      broken(text, 'test/x.test.ts'),
    ),
  },
];

describe('tidy', () => {
  for (const rule of RULES) {
    test(rule.name, () => {
      for (const file of rule.broken) {
        assert.notEqual(rule.check(file).length, 0, `the rule sees nothing in: ${file.text}`);
      }
      assert.deepEqual(rule.files.flatMap(rule.check), []);
    });
  }

  test('folders of src have at most 10 files', () => {
    const many = Array.from({ length: rules.FOLDER_FILES + 1 }, (_, i) => broken('', `src/a/${i}`));
    assert.equal(rules.checkFolders(many).length, 1);
    assert.deepEqual(rules.checkFolders(src), []);
  });

  test('every source is reached from an entry', () => {
    const alone = [broken("import './b.ts';", 'src/a.ts'), broken('', 'src/b.ts')];
    assert.deepEqual(findDead(alone, ['src/a.ts']), []);
    assert.equal(findDead(alone, ['src/b.ts']).length, 1);
    const files = src.filter(({ path }) => !path.endsWith('.d.ts'));
    assert.deepEqual(findDead(files, ENTRIES), []);
  });

  test('the tables of this test name files and rooms that exist', () => {
    const paths = new Set(src.map(({ path }) => path));
    const missing = [...rules.PACKET_PATH, ...ENTRIES].filter((path) => !paths.has(path));
    assert.deepEqual(missing, []);
    const rooms = Object.keys(ROOMS).filter(
      (room) => ![...paths].some((path) => path.startsWith(`src/${room}`)),
    );
    assert.deepEqual(rooms, []);
  });

  test('every system call is described', () => {
    const table = "const PROTOTYPES = {\n  open: 'int open(int a)',\n}";
    assert.equal(rules.checkCalls(broken(table), 'openat(2)').length, 1);
    const libc = src.find(({ path }) => path === 'src/sys/libc.ts')!;
    assert.deepEqual(
      rules.checkCalls(libc, readFileSync(join(root, 'native-notes/calls.md'), 'utf8')),
      [],
    );
  });
});
