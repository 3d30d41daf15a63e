/**
 * Every command into every kind of output that may fail: a full disk, a reader who has gone, an
 * output that is closed or may not grow. It is nobody's mistake: a sentence or nothing, never a
 * stack trace, never a wait without end.
 */
import assert from 'node:assert/strict';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '../support/maker.ts';
import { Background } from '../support/process.ts';
import { waitFor } from '../support/waitfor.ts';
import { type FakeWeft, fakeWeft } from './fake-weft.ts';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

/** More than a pipe holds. */
const PACKETS = 2_000;

const LOOKS: readonly (readonly string[])[] = [
  ['--help'],
  ['--version'],
  ['run', '--help'],
  ['help', 'status'],
  ['completion', 'bash'],
  ['flags', '--compare'],
  ['status'],
  ['status', '-o', 'json'],
  ['peers'],
  ['trace', '10.244.2.2'],
  ['doctor', '--only', 'weft'],
  ['doctor', '-o', 'json', '--only', 'weft'],
  ['check-config', 'dataplane'],
  ['monitor'],
  ['monitor', '-o', 'json'],
  ['capture'],
];

interface Sink {
  /** Of sh; the command is "$@". */
  readonly shell: string;
  /** What a command that writes more than this kind takes ends with. */
  readonly fails: boolean;
}

const SINKS: Readonly<Record<string, Sink>> = {
  'a full disk': { shell: 'exec "$@" > /dev/full', fails: true },
  'a file that may not grow': { shell: 'ulimit -f 0; exec "$@" > "$FILE"', fails: true },
  'a reader who has gone': { shell: '{ "$@"; echo "code $?" >&2; } | true', fails: false },
  'a reader of one line': { shell: '{ "$@"; echo "code $?" >&2; } | head -n 1', fails: false },
  'no output at all': { shell: 'exec "$@" >&-', fails: false },
  'no descriptors at all': { shell: 'exec "$@" <&- >&- 2>&-', fails: false },
  'a full disk for both': { shell: 'exec "$@" > /dev/full 2> /dev/full', fails: true },
  'a full disk for errors': { shell: 'exec "$@" > /dev/null 2> /dev/full', fails: false },
};

/** None where nobody listens yet. */
async function ask(port: number, path: string): Promise<{ status: number; body: string }> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: answer.status, body: await answer.text() };
}

describe('output that cannot be written', () => {
  let folder: string;
  let weft: FakeWeft;
  let socket: string;

  before(async () => {
    folder = makeFolder('sinks');
    socket = join(folder, 'weft.sock');
    weft = await fakeWeft(socket, { text: '10.244.2.0/24', packets: PACKETS });
  });
  after(() => {
    weft.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function run(shell: string, words: readonly string[]) {
    const environment = [`WEFT_API_SOCKET=${socket}`, `FILE=${join(folder, 'out')}`];
    const command = [process.execPath, CLI, ...words];
    const argv = ['env', ...environment, 'sh', '-c', shell, 'sh', ...command];
    const process_ = new Background(argv);
    process_.endInput();
    const { code } = await process_.wait();
    const said = /^code (\d+)$/m.exec(process_.stderr)?.[1];
    const stderr = process_.stderr.replace(/^code \d+\n/m, '');
    return { code: said === undefined ? code : Number(said), stdout: process_.stdout, stderr };
  }

  for (const [what, { shell, fails }] of Object.entries(SINKS)) {
    test(`${what} ends every command in order`, async () => {
      const waiting = [...LOOKS];
      const turn = async (): Promise<void> => {
        for (let words = waiting.pop(); words !== undefined; words = waiting.pop()) {
          const { code, stderr } = await run(shell, words);
          const name = `weft ${words.join(' ')}: ${stderr}`;
          assert.doesNotMatch(stderr, /^\s+at |node:internal|Error:/m, name);
          if (fails) assert.equal(code, 3, name);
          else assert.ok([0, 2, 6].includes(code ?? -1), `${name} ended with ${code}`);
          if (fails && stderr !== '') assert.match(stderr, /the disk is full|may not grow/, name);
        }
      };
      await Promise.all([turn(), turn()]);
    });
  }

  for (const words of [
    ['status', '--watch', '0.1'],
    ['peers', '-w', '0.1', '-o', 'json'],
  ]) {
    test(`${words.join(' ')} ends when its reader goes`, async () => {
      const { code, stdout } = await run(SINKS['a reader of one line']!.shell, words);
      assert.ok(code === 0, `ended with ${code}`);
      assert.match(stdout, /\n$/);
    });
  }

  test('a capture keeps what is whole, and says that the rest is not', async () => {
    const file = join(folder, 'cut.pcapng');
    const { code, stderr } = await run(`ulimit -f 40; exec "$@" -w ${file}`, ['capture']);
    assert.equal(code, 3);
    assert.match(stderr, /cut\.pcapng: the file may not grow further/);
    const { size } = statSync(file);
    assert.ok(size > 0 && size <= 40 * 1024);
  });

  for (const [what, shell] of [
    ['a full disk', 'exec "$@" > /dev/full'],
    ['a reader who has gone', 'exec "$@" > >(true)'],
    ['no output at all', 'exec "$@" >&-'],
  ] as const) {
    test(`the daemon goes on with ${what} under its log, and counts`, async () => {
      const port = 20_000 + (process.pid % 20_000);
      const daemon = new Background([
        ...['bash', '-c', shell, 'bash', process.execPath, CLI, 'dataplane'],
        ...['--subnet-file', join(folder, 'none.env'), '--api-socket', 'none'],
        ...['--leases', join(folder, 'none.json'), '--log-level', 'trace'],
        ...['--metrics-listen', `127.0.0.1:${port}`],
      ]);
      try {
        const metrics = await waitFor('metrics', () => ask(port, '/metrics'));
        const errors = /^weft_log_write_errors_total (\d+)$/m.exec(metrics.body);
        if (what === 'no output at all') assert.equal(errors?.[1], '0');
        else
          await waitFor('a count', async () => {
            const { body } = await ask(port, '/metrics');
            return /^weft_log_write_errors_total [1-9]/m.test(body);
          });
        assert.equal((await ask(port, '/healthz')).status, 200);
      } finally {
        const { code } = await daemon.stop('SIGTERM');
        assert.equal(code, 0);
      }
    });
  }
});
