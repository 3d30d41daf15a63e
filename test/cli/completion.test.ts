/** Completion scripts in the shells that they are for. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '../support/maker.ts';
import { attempt, run } from '../support/process.ts';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

describe('weft completion', () => {
  let folder: string;
  const path = (shell: string) => join(folder, shell === 'zsh' ? '_weft' : `weft.${shell}`);

  before(() => {
    folder = makeFolder('completion');
    for (const shell of ['bash', 'zsh', 'fish']) {
      writeFileSync(path(shell), run([process.execPath, CLI, 'completion', shell]));
    }
  });
  after(() => rmSync(folder, { recursive: true }));

  /** What bash offers for the last of these words. */
  function bash(...words: string[]): string[] {
    const program = `source "$1"; shift
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _weft; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return run(['bash', '-c', program, 'bash', path('bash'), ...words])
      .trim()
      .split('\n');
  }

  test('bash offers commands, options and their choices', () => {
    assert.deepEqual(bash('weft', 'pe'), ['peers']);
    assert.ok(bash('weft', '').includes('doctor'));
    assert.deepEqual(bash('weft', 'peers', '--so'), ['--sort']);
    assert.deepEqual(bash('weft', 'peers', '--sort', 'tx'), ['tx', 'tx-rate']);
    assert.deepEqual(bash('weft', 'status', '-o', ''), ['table', 'json']);
    assert.deepEqual(bash('weft', 'completion', 'f'), ['fish']);
    assert.deepEqual(bash('weft', 'dataplane', '--metrics-l'), ['--metrics-listen']);
    assert.deepEqual(bash('weft', 'trace', '--api-socket', path('fish')), [path('fish')]);
  });

  test('fish offers the same, each with its help', () => {
    const fish = (line: string) => {
      const program = 'source $argv[1]; complete -C $argv[2]';
      return run(['fish', '--no-config', '-c', program, path('fish'), line])
        .trim()
        .split('\n');
    };
    assert.deepEqual(fish('weft pe'), [
      'peers\ta row a peer: traffic, drops, path MTU, round trip and loss',
    ]);
    assert.deepEqual(
      fish('weft status -o ').map((row) => row.split('\t')[0]),
      ['json', 'table'],
    );
    assert.ok(fish('weft dataplane --metrics-l').some((row) => row.startsWith('--metrics-listen')));
    assert.deepEqual(fish('weft completion z'), ['zsh']);
  });

  test('zsh takes the script as a completer, and every option of it', () => {
    const load = `fpath=($1 $fpath); autoload -Uz compinit; compinit -u -d $1/dump
      print -r -- $_comps[weft]
      compdef() { : }
      _describe() { print -rl -- \${(P)2} }
      _arguments() { print -rl -- "$@" }
      words=(weft ''); CURRENT=2; _weft
      words=(weft peers ''); CURRENT=3; _weft`;
    const said = run(['zsh', '-f', '-c', load, 'zsh', folder]).split('\n');
    assert.equal(said[0], '_weft');
    assert.ok(said.includes('status:the node at a glance'), said.join('\n'));
    const sort = said.find((line) => line.startsWith('(-s --sort)--sort['))!;
    assert.match(sort, /:value:\(subnet -subnet address /);
  });

  test('another shell is refused, with those there are', () => {
    const { status, stderr } = attempt([process.execPath, CLI, 'completion', 'csh']);
    assert.equal(status, 2);
    assert.match(stderr, /bash, zsh, fish/);
  });
});
