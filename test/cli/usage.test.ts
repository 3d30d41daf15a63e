import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test, { describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { OPTIONS, optionsOf } from '../../src/config/options.ts';
import { environmentName, optionName } from '../../src/config.ts';
import { attempt } from '../support/process.ts';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

function weft(...args: string[]) {
  return attempt([process.execPath, CLI, ...args]);
}

describe('weft', () => {
  test('--version is that of the package', () => {
    const { status, stdout } = weft('--version');
    assert.equal(status, 0);
    const root = fileURLToPath(new URL('../../../package.json', import.meta.url));
    const { version } = JSON.parse(readFileSync(root, 'utf8')) as { version: string };
    assert.equal(stdout, `${version}\n`);
  });

  test('--help names the commands and the exit codes', () => {
    const { status, stdout } = weft('--help');
    assert.equal(status, 0);
    assert.match(stdout, /dataplane/);
    assert.match(stdout, /Exit codes:\n {2}0/);
  });

  test('dataplane --help has every option, its default, and the environment', () => {
    const { status, stdout } = weft('dataplane', '--help');
    assert.equal(status, 0);
    const text = stdout.replace(/\s+/g, ' ');
    for (const [, row] of optionsOf('dataplane')) assert.ok(text.includes(row.flags), row.flags);
    for (const part of ['(default: 8285)', '(default: 127.0.0.1:8286)', 'WEFT_METRICS_LISTEN']) {
      assert.ok(text.includes(part), part);
    }
    for (const line of stdout.split('\n')) assert.ok(line.length <= 100, line);
  });

  const wrong: [string, string[], RegExp][] = [
    ['nothing', [], /Usage: weft/],
    ['an unknown command', ['datplane'], /^weft: unknown command 'datplane'\nweft: .*dataplane/],
    ['a missing value', ['dataplane', '--port'], /^weft: --port needs a value\n$/],
    ['an unknown option', ['dataplane', '--prot', '1'], /^weft: --prot is .* --port\?\n$/],
    ['a stray word', ['dataplane', 'now'], /^weft: 'now' is left over/],
    ['an unknown option alone', ['--prot'], /^weft: unknown option '--prot'/],
  ];
  for (const [what, args, message] of wrong) {
    test(`with ${what} ends with 2 and says so`, () => {
      const { status, stdout, stderr } = weft(...args);
      assert.equal(status, 2);
      assert.equal(stdout, '');
      assert.match(stderr, message);
    });
  }

  test('tells all faults at once, a line each, without a stack', () => {
    const { status, stderr } = weft('dataplane', '--prot=1', '--mtu', 'x', '--dscp', '64', 'stray');
    assert.equal(status, 2);
    const lines = stderr.trimEnd().split('\n');
    assert.equal(lines.length, 4, stderr);
    for (const line of lines) assert.match(line, /^weft: \S+/);
    assert.doesNotMatch(stderr, /\bat .*\.js:/);
  });

  test('options that etcd cannot take end with 2 as well', () => {
    const { status, stderr } = weft(
      ...['dataplane', '--metrics-listen', '127.0.0.1:0', '--log-level', 'silent'],
      ...['--api-socket', 'none'],
      ...['--etcd-cafile', '/no/such/file', '--etcd-endpoints', 'ftp://etcd'],
    );
    assert.equal(status, 2, stderr);
    assert.match(stderr, /ftp:\/\/etcd/);
  });

  test('every option has a variable of its own', () => {
    const names = Object.values(OPTIONS).map((row) => environmentName(optionName(row)));
    assert.equal(new Set(names).size, names.length);
    for (const name of names) assert.match(name, /^WEFT_[A-Z_]+$/);
  });
});
