import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  explainLimit,
  judgeOpenFiles,
  openFileLimit,
} from '../../../src/cli/start/resource-limits.ts';
import { attempt } from '../../support/process.ts';

const CLI = fileURLToPath(new URL('../../../src/cli.js', import.meta.url));
const MEMORY = new URL('../../../src/sys/memory.js', import.meta.url);
const DATAPLANE = ['dataplane', '--network', '10.244.0.0/16', '--subnet', '10.244.1.0/24'];

/** Node under a limit of setrlimit(2), as prlimit(1) spells it. */
function limited(limit: string, ...args: string[]) {
  return attempt(['prlimit', limit, process.execPath, ...args]);
}

function assertNoStack(stderr: string): void {
  assert.doesNotMatch(stderr, /^weft: {4,}at |^ {4}at |node:internal/m, stderr);
}

describe('a limit of open files', () => {
  test('of 64 is enough for every command that looks', () => {
    for (const args of [['--version'], ['--help'], ['check-config'], ['status', '--help']]) {
      const { status, stderr } = limited('--nofile=64', CLI, ...args);
      assert.deepEqual([status, stderr], [0, ''], args.join(' '));
    }
    const { status, stderr } = limited('--nofile=64', CLI, 'status', '--api-socket', '/none');
    assert.equal(status, 5);
    assertNoStack(stderr);
  });

  // Below some 24 Node itself does not come as far as our first line.
  for (const files of [26, 32, 40, 48, 55]) {
    test(`of ${files} ends a daemon with the limit and the cure`, () => {
      const { status, stderr } = limited(
        `--nofile=${files}`,
        ...[CLI, ...DATAPLANE, '--leases', '/none'],
        ...['--workers', '1'],
      );
      assert.equal(status, 3, stderr);
      assert.match(stderr, /ulimit -n 1024.*LimitNOFILE=1024/);
      assertNoStack(stderr);
    });
  }

  test('is judged by the workers there are, and warned of where clients may find no room', () => {
    const cases: [limit: number | undefined, workers: number, verdict: string][] = [
      [undefined, 64, 'enough'],
      [55, 1, 'too few'],
      [56, 1, 'few'],
      [56, 2, 'too few'],
      [311, 1, 'few'],
      [312, 1, 'enough'],
      [40, 0, 'few'],
      [1024, 16, 'enough'],
      [1024, 64, 'too few'],
    ];
    for (const [limit, workers, verdict] of cases) {
      assert.equal(judgeOpenFiles(limit, workers).verdict, verdict, `${limit} for ${workers}`);
    }
  });

  test('is read from proc(5)', () => {
    const line = 'Max open files            1024                 524288               files     \n';
    assert.equal(openFileLimit(line), 1024);
    assert.equal(openFileLimit(line.replace('1024     ', 'unlimited')), undefined);
    assert.equal(openFileLimit(''), undefined);
    assert.ok((openFileLimit() ?? 0) > 0);
  });
});

describe('a limit of memory', () => {
  test('is named where a pump finds no room', () => {
    const script = `import { createSlab } from '${MEMORY}'; createSlab(1 << 20);`;
    const { status, stderr } = limited(
      '--as=4000000000',
      ...['--input-type=module', '--eval', script],
    );
    assert.equal(status, 1);
    assert.match(stderr, /no room for packet memory: .*ulimit -v \(LimitAS= of the unit\)/);
  });
});

test('errors that come from a limit are told from mistakes of our own', () => {
  const of = (code: string, message = 'x') => Object.assign(new Error(message), { code });
  const cases: [error: unknown, says: RegExp | undefined][] = [
    [of('EMFILE'), /no more files can be opened; the limit is \d+: 'ulimit -n 1024'/],
    [of('ENFILE'), /fs\.file-max/],
    [of('EAGAIN'), /TasksMax=/],
    [of('ERR_WORKER_INIT_FAILED'), /ulimit -u/],
    [of('ENOMEM'), /MemoryMax=/],
    [new RangeError('Array buffer allocation failed'), /LimitAS=/],
    [new RangeError('WebAssembly.Memory(): could not allocate memory'), /LimitAS=/],
    [new RangeError('Invalid array length'), undefined],
    [of('ENOENT'), undefined],
    ['text', undefined],
  ];
  for (const [error, says] of cases) {
    const said = explainLimit(error);
    if (says === undefined) assert.equal(said, undefined);
    else assert.match(said ?? '', says);
  }
});
