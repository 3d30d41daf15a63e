/**
 * Hostile text in every place that somebody else fills: answers of the API, leases, files and their
 * names, the environment, the command line, what programs of the host say. No command shows a
 * control character that is not ours, on a terminal or in a pipe, as a table or as JSON.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { HOSTILE, HOSTILE_NAME, rawControls } from '../support/hostile.ts';
import { makeFolder } from '../support/maker.ts';
import { Background } from '../support/process.ts';
import { waitFor } from '../support/waitfor.ts';
import { type FakeWeft, fakeWeft } from './fake-weft.ts';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

const LOOKS: readonly (readonly string[])[] = [
  ['status'],
  ['peers'],
  ['trace', '10.244.2.2'],
  ['ping', '10.244.2.2', '--count', '1'],
  ['doctor', '--verbose'],
  ['monitor'],
  ['doctor', '--emit-nft'],
];

describe('hostile text', () => {
  let folder: string;
  let weft: FakeWeft;
  let refusing: FakeWeft;

  before(async () => {
    folder = makeFolder('hostile');
    weft = await fakeWeft(join(folder, 'weft.sock'), { text: HOSTILE });
    refusing = await fakeWeft(join(folder, 'no.sock'), { text: HOSTILE, refuses: true });
    mkdirSync(join(folder, 'bin'));
    const rows = JSON.stringify([
      { ifname: HOSTILE, ifalias: HOSTILE, dst: HOSTILE, dev: HOSTILE },
    ]);
    writeFileSync(join(folder, 'rows'), rows);
    writeFileSync(join(folder, 'words'), HOSTILE);
    for (const name of ['ip', 'nft', 'ss', 'ethtool', 'tc', 'timedatectl', 'bridge']) {
      const program = `#!/bin/sh\ncat ${folder}/words >&2\ncat ${folder}/rows\nexit $FAIL\n`;
      writeFileSync(join(folder, 'bin', name), program);
      chmodSync(join(folder, 'bin', name), 0o755);
    }
  });
  after(() => {
    weft.close();
    refusing.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** On a pseudo-terminal where that is asked for, and then with colours. */
  async function run(words: readonly string[], more: Record<string, string>, terminal = false) {
    const environment = Object.entries(more).map(([name, value]) => `${name}=${value}`);
    const command = [process.execPath, CLI, ...words];
    const quoted = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    const argv = terminal ? ['script', '-qec', quoted, '/dev/null'] : command;
    const child = new Background(['env', ...environment, ...argv]);
    child.endInput();
    const { code } = await child.wait();
    // A terminal ends its lines with CR LF.
    const stdout = terminal ? child.stdout.replaceAll('\r\n', '\n') : child.stdout;
    return { code, stdout, stderr: child.stderr };
  }

  function check(words: readonly string[], seen: Awaited<ReturnType<typeof run>>, colours = false) {
    const name = `weft ${JSON.stringify(words)}`;
    assert.deepEqual(rawControls(seen.stdout, colours), [], `${name} on stdout`);
    assert.deepEqual(rawControls(seen.stderr, colours), [], `${name} on stderr`);
    assert.notEqual(`${seen.stdout}${seen.stderr}`, '', `${name} says something`);
  }

  for (const [what, socket, fail] of [
    ['in every answer', 'weft.sock', '0'],
    ['in every answer, beside programs that fail', 'weft.sock', '1'],
    ['in every refusal', 'no.sock', '0'],
    ['in the name of the socket', HOSTILE_NAME, '1'],
  ] as const) {
    test(`${what} is shown escaped by every command`, async () => {
      const environment = {
        WEFT_API_SOCKET: join(folder, socket),
        FAIL: fail,
        PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
      };
      const forms = ['table', 'json'].flatMap((form) => LOOKS.map((words) => ({ form, words })));
      const turn = async (): Promise<void> => {
        for (let next = forms.pop(); next !== undefined; next = forms.pop()) {
          const words = [...next.words, '-o', next.form];
          check(words, await run(words, environment));
        }
      };
      await Promise.all([turn(), turn()]);
      for (const words of LOOKS.slice(0, 3)) {
        check(words, await run(words, environment, true), true);
      }
    });
  }

  const typed: readonly (readonly string[])[] = [
    [HOSTILE_NAME],
    [`--${HOSTILE_NAME}`],
    ['status', HOSTILE_NAME],
    ['status', '-o', HOSTILE_NAME],
    ['status', '--watch', HOSTILE_NAME],
    ['trace', HOSTILE_NAME],
    ['monitor', HOSTILE_NAME],
    ['capture', '-s', HOSTILE_NAME],
    ['capture', '-w', `/nowhere/${HOSTILE_NAME}`],
    ['doctor', '--only', HOSTILE_NAME],
    ['completion', HOSTILE_NAME],
    ['run', HOSTILE_NAME],
    ['run', `--${HOSTILE_NAME}=1`],
    ['dataplane', '--dev', HOSTILE_NAME],
    ['dataplane', '--metrics-listen', HOSTILE_NAME],
    ['dataplane', '--http-allowed-host', HOSTILE_NAME],
    ['check-config', 'run', '--iface-regex', `(${HOSTILE_NAME}`],
    ['check-config', 'dataplane', '--subnet-file', HOSTILE_NAME],
    ['check-config', 'dataplane', '--leases', HOSTILE_NAME],
    ['check-config', 'run', '--network-config', HOSTILE_NAME],
    ['check-config', 'run', '--etcd-endpoints', HOSTILE_NAME],
    ['check-config', 'run', '--etcd-cafile', HOSTILE_NAME, '--etcd-endpoints', 'https://x'],
  ];
  test('on the command line is told escaped', async () => {
    for (const words of typed) {
      check(words, await run(words, { WEFT_API_SOCKET: join(folder, 'weft.sock') }));
    }
  });

  test('in the environment is told escaped', async () => {
    for (const name of ['WEFT_PORT', 'WEFT_ETCD_ENDPOINTS', 'FLANNELD_IFACE', 'WEFT_NO_SUCH']) {
      const words = ['check-config', 'run', '-o', 'table'];
      check(words, await run(words, { [name]: HOSTILE_NAME }));
    }
  });

  test('in files is told escaped', async () => {
    const file = join(folder, 'file');
    const contents = [
      HOSTILE,
      `FLANNEL_NETWORK=${HOSTILE}\nFLANNEL_SUBNET=${HOSTILE}\nFLANNEL_MTU=${HOSTILE}`,
      JSON.stringify({ [HOSTILE]: { PublicIP: HOSTILE }, '10.244.2.0-24': HOSTILE }),
      JSON.stringify({ '10.244.2.0-24': { PublicIP: HOSTILE, BackendType: HOSTILE } }),
      JSON.stringify({ Network: HOSTILE, SubnetMin: HOSTILE, Backend: { Type: HOSTILE } }),
      JSON.stringify({ Network: '10.244.0.0/16', Backend: { Type: 'vxlan', VNI: HOSTILE } }),
    ];
    for (const text of contents) {
      writeFileSync(file, text);
      for (const option of ['--subnet-file', '--leases', '--network-config', '--etcd-cafile']) {
        const daemon =
          option === '--network-config' || option === '--etcd-cafile' ? 'run' : 'dataplane';
        const words = ['check-config', daemon, option, file];
        check(words, await run(words, {}));
      }
    }
  });

  for (const format of ['json', 'pretty'] as const) {
    test(`reaches neither the log (${format}) nor HTTP of a daemon`, async () => {
      const leases = join(folder, 'leases.json');
      writeFileSync(leases, JSON.stringify({ [HOSTILE]: { PublicIP: HOSTILE } }));
      const port = 20_000 + (process.pid % 20_000);
      const daemon = new Background([
        ...[process.execPath, CLI, 'dataplane', '--log-format', format, '--log-level', 'trace'],
        ...['--subnet-file', join(folder, HOSTILE_NAME), '--leases', leases],
        ...['--api-socket', 'none', '--metrics-listen', `127.0.0.1:${port}`],
      ]);
      const ask = async (path: string) => {
        return await (await fetch(`http://127.0.0.1:${port}${path}`)).text();
      };
      try {
        await waitFor('an answer', async () => /waiting for/.test(await ask('/readyz')));
        for (const path of [
          '/readyz',
          '/healthz',
          '/metrics',
          '/v1/status',
          '/v1/config',
          '/v1/peers',
        ]) {
          assert.deepEqual(rawControls(await ask(path)), [], path);
        }
        const asked = encodeURIComponent(HOSTILE.replaceAll(/\p{Cs}/gu, ''));
        for (const path of [`/v1/trace?dst=${asked}`, `/v1/peers?sort=${asked}`, `/${asked}`]) {
          assert.deepEqual(rawControls(await ask(path.slice(0, 2_000))), [], path);
        }
      } finally {
        await daemon.stop('SIGTERM');
      }
      assert.match(daemon.stdout, /waiting for/);
      assert.deepEqual(rawControls(daemon.stdout), [], 'the log');
      assert.deepEqual(rawControls(daemon.stderr), [], 'stderr');
    });
  }
});
