/** The runner of the tests, run over small files of tests: what it counts, ends and cleans up. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDead, MAKERS, makeFolder } from '../support/maker.ts';
import { environmentOf, listProcs, readProc } from '../support/proc.ts';
import { Background, type Ran, run, runAside } from '../support/process.ts';
import { waitFor } from '../support/waitfor.ts';

const RUNNER = fileURLToPath(new URL('../../scripts/test/main.js', import.meta.url));
const support = (name: string) => new URL(`../support/${name}.js`, import.meta.url).href;
const PROCESS = `import { Background, run } from '${support('process')}';`;
const MAKER = `import { ownPrefix, makeFolder } from '${support('maker')}';`;
const TEST = "import test, { describe, before } from 'node:test';";

let folder: string;

before(() => {
  folder = makeFolder('runner');
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Writes files of tests and gives the command that runs them; they have a /tmp of their own. */
function runner(files: Readonly<Record<string, string>>, stillMs = 0): string[] {
  const own = join(folder, Object.keys(files).join('-'));
  mkdirSync(join(own, 'tmp'), { recursive: true });
  const paths = Object.entries(files).map(([name, text]) => {
    const path = join(own, `${name}.test.mjs`);
    writeFileSync(path, `${TEST}\n${text}`);
    return path;
  });
  const limit = stillMs > 0 ? [`TEST_STILL_MS=${stillMs}`] : [];
  const environment = ['env', `TMPDIR=${join(own, 'tmp')}`, ...limit];
  return [...environment, process.execPath, RUNNER, ...paths];
}

const ranOver = (files: Readonly<Record<string, string>>, stillMs?: number): Promise<Ran> =>
  runAside(runner(files, stillMs));

const lastLine = ({ stdout }: Ran) => stdout.trimEnd().split('\n').at(-1);

describe('the runner counts', () => {
  for (const [what, text, line, status] of [
    ['good', "test('a', () => {}); test('b', () => {});", '2 passed, 0 failed, 0 skipped', 0],
    ['bad', "test('a', () => { throw new Error('x'); });", '0 passed, 1 failed, 0 skipped', 1],
    ['skipping', "test('a', (t) => t.skip('no'));", '0 passed, 1 failed, 1 skipped', 1],
    ['empty', '', '0 passed, 1 failed, 0 skipped', 1],
    ['broken', 'this is no code', '0 passed, 1 failed, 0 skipped', 1],
    ['leaving', "test('a', () => {}); process.exitCode = 7;", '1 passed, 1 failed, 0 skipped', 1],
    [
      'suites',
      "describe('s', () => { before(() => { throw new Error('x'); }); test('a', () => {}); });",
      '0 passed, 1 failed, 0 skipped',
      1,
    ],
  ] as const) {
    test(`a file that is ${what}`, async () => {
      const ran = await ranOver({ [what]: text });
      assert.equal(lastLine(ran), line, `${ran.stdout}${ran.stderr}`);
      assert.equal(ran.status, status);
    });
  }

  test('and names the slowest files and tests, and why a test failed', async () => {
    const slow = "test('slow one', () => new Promise((then) => setTimeout(then, 50)));";
    const bad = "test('bad one', () => { throw new Error('the reason'); });";
    const { stdout, stderr } = await ranOver({ slow, why: bad });
    assert.match(stdout, /the slowest 2 files:\n(?:.*\n)?.*slow\.test\.mjs: [\d.]+ s/);
    assert.match(stdout, /the slowest 2 tests:\n.*slow one: [\d.]+ s/);
    assert.match(stdout, /✖ bad one \(\d+ ms\)\n +Error: the reason/);
    assert.match(stderr, /failed: .*why.*: bad one: Error: the reason/);
  });
});

describe('the runner ends a file that stands still, and says where', () => {
  const still = 1500;
  for (const [what, text, where] of [
    ['waiting', 'await new Promise((then) => setTimeout(then, 1e8));', ", in 'the stuck one'"],
    // It cannot tell any more where it is.
    ['blocked', 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);', ''],
  ] as const) {
    test(what, async () => {
      const code = `test('the stuck one', async () => { console.log('last words'); ${text} });`;
      const ran = await ranOver({ [what]: code }, still);
      assert.match(
        ran.stdout,
        /it stood still: nothing for 1\.5 s; its processes:\n +\d+ \w .*node/,
      );
      assert.match(ran.stdout, new RegExp(`\n${where}; it printed last:\n *last words`));
      assert.equal(lastLine(ran), '0 passed, 1 failed, 0 skipped');
    });
  }

  test('but not one that moves, however long it takes', async () => {
    const step = "console.log('step'); await new Promise((then) => setTimeout(then, 20));";
    const text = `test('the long one', async () => { for (let i = 0; i < 300; i++) { ${step} } });`;
    const ran = await ranOver({ moving: text }, 4000);
    assert.equal(lastLine(ran), '1 passed, 0 failed, 0 skipped', ran.stdout);
  });
});

/** A file that has made a namespace, a process in it and a folder, and then waits for ever. */
const MAKES = `${PROCESS} ${MAKER}
  test('makes', async () => {
    run(['ip', 'netns', 'add', ownPrefix + '-1']);
    makeFolder('left');
    const forever = ['sh', '-c', 'echo ready; exec tail -f /dev/null'];
    const child = new Background(['ip', 'netns', 'exec', ownPrefix + '-1', ...forever]);
    await child.waitForOutput(/ready/);
    console.log('made');
    FINALLY
  });`;
const makes = (then: string) => MAKES.replace('FINALLY', then);
const FOREVER = 'await new Promise((then) => setTimeout(then, 1e8));';

const namespaces = () => run(['ip', 'netns', 'list']).split(/\s+/).filter(Boolean);
const processesOf = (maker: string) =>
  listProcs().filter(({ pid }) => environmentOf(pid, MAKERS)?.split(',').includes(maker));

/** Starts the runner over a file that made its things; the marks of the runner and of the file. */
async function midway(name: string): Promise<{ child: Background; file: string; files: string }> {
  const argv = runner({ [name]: makes(FOREVER) });
  const child = new Background(argv);
  const file = await waitFor('the file to have made its things', () => {
    const made = namespaces().find((space) => {
      const pid = Number.parseInt(/^weft-([0-9a-z]+)\./.exec(space)?.[1] ?? '', 36);
      return readProc(pid)?.command.includes(argv.at(-1)!);
    });
    const maker = /^weft-(.*)-1$/.exec(made ?? '')?.[1];
    // Its child, too, is up.
    return maker !== undefined && processesOf(maker).length > 0 ? maker : '';
  });
  return { child, file, files: join(folder, name, 'tmp') };
}

function assertGone(file: string, files: string): void {
  assert.deepEqual(processesOf(file), []);
  assert.ok(!namespaces().some((space) => space.includes(file)), `${namespaces()}`);
  assert.deepEqual(readdirSync(files), []);
}

describe('what tests leave behind', () => {
  test('is named, a failure, and removed', async () => {
    const ran = await ranOver({ leaves: makes("process.kill(process.pid, 'SIGKILL');") });
    for (const kind of ['process', 'namespace', 'file']) {
      assert.match(ran.stderr, new RegExp(`left behind: ${kind} .*leaves`), ran.stdout);
    }
    assert.match(ran.stdout, /it ended with SIGKILL, in 'makes'; it printed last:\n *made/);
    assert.equal(ran.status, 1);
    assert.deepEqual(readdirSync(join(folder, 'leaves', 'tmp')), []);
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    test(`is nothing when ${signal} ends the runner`, async () => {
      const { child, file, files } = await midway(`at-${signal}`);
      const { code } = await child.stop(signal);
      assert.equal(code, 130, child.describe());
      assert.match(child.stdout, new RegExp(`${signal}: ending the tests under way`));
      assert.match(child.stdout, /0 passed, 1 failed, 0 skipped\n$/);
      assertGone(file, files);
    });
  }

  test('by a runner that was killed is removed by the next one, and nothing else', async () => {
    const other = await midway('others');
    const { child, file, files } = await midway('killed');
    await child.stop('SIGKILL');
    assert.ok(processesOf(file).length > 0, 'its processes live on');
    assert.ok(readProc(Number.parseInt(file, 36)) !== undefined, 'so does its file');
    const next = runner({ next: "test('a', () => {});" });
    const ran = await runAside(
      next.map((word) => (/^TMPDIR=/.test(word) ? `TMPDIR=${files}` : word)),
    );
    assert.equal(lastLine(ran), '1 passed, 0 failed, 0 skipped', ran.stderr);
    assert.match(ran.stdout, /removed what a run that was killed had left: namespace /);
    assertGone(file, files);
    assert.equal(isDead(file), true);
    // Their maker lives.
    assert.ok(processesOf(other.file).length > 0);
    assert.ok(namespaces().some((space) => space.includes(other.file)));
    assert.ok(existsSync(other.files) && readdirSync(other.files).length > 0);
    await other.child.stop('SIGTERM');
    assertGone(other.file, other.files);
  });
});
