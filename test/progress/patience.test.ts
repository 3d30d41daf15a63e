import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import test, { describe } from 'node:test';
import { CommandError, commandRunner } from '../../src/linux/command.ts';
import { Beat } from '../../src/progress/beat.ts';
import { Patience, whileMoving } from '../../src/progress/patience.ts';
import { programSigns, type Signs } from '../../src/progress/signs.ts';

const LIMIT_MS = 1_000;

/** A kind of thread by what it shows at each look, and whether it is given up within 400 looks. */
const KINDS: readonly [string, (look: number) => Signs, RegExp | undefined][] = [
  ['gets a little CPU now and then', (n) => ({ cpuMs: n >> 1, runnable: false }), undefined],
  ['wants to run and never may', () => ({ cpuMs: 7, runnable: true }), undefined],
  ['may run seldom', (n) => ({ cpuMs: 7, runnable: n % 4 === 0 }), undefined],
  ['stands still', () => ({ cpuMs: 7, runnable: false }), /^it: no CPU time for 1 s$/],
  ['is gone', () => ({ cpuMs: -1, runnable: false }), /no CPU time/],
  ['stops in the middle', (n) => ({ cpuMs: Math.min(n, 50), runnable: false }), /no CPU time/],
  ['runs in circles', (n) => ({ cpuMs: n * 250, runnable: true }), /^it: 60 s of CPU time, /],
];

function lookOften(every: number, signs: (look: number) => Signs): string[] {
  const patience = new Patience(LIMIT_MS);
  for (let look = 0; look < 400; look++) {
    const still = patience.look(look * every, [{ name: 'it', signs: () => signs(look) }]);
    if (still.length > 0) return still;
  }
  return [];
}

describe('patience', () => {
  for (const [what, signs, given] of KINDS) {
    test(`with one that ${what}`, () => {
      const still = lookOften(250, signs);
      if (given === undefined) assert.deepEqual(still, []);
      else assert.match(still[0] ?? '', given);
    });
  }

  test('does not count time in which nobody looked', () => {
    const patience = new Patience(LIMIT_MS);
    const it = [{ name: 'it', signs: () => ({ cpuMs: 7, runnable: false }) }];
    assert.deepEqual(patience.look(0, it), []);
    assert.deepEqual(patience.look(60_000, it), []);
    assert.notDeepEqual(patience.look(120_000, it), []);
  });

  test('begins anew where what is waited for is another', () => {
    const patience = new Patience(LIMIT_MS);
    for (let look = 0; look < 100; look++) {
      const it = [{ name: `step ${look >> 1}`, signs: () => ({ cpuMs: 7, runnable: false }) }];
      assert.deepEqual(patience.look(look * 250, it), []);
    }
  });
});

describe('a wait', () => {
  const silent = { what: 'nothing', awaited: () => [], tell: () => undefined };

  test('ends with its work, and with its error', async () => {
    assert.deepEqual(await whileMoving(Promise.resolve(1), silent), []);
    assert.deepEqual(await whileMoving(undefined, silent), []);
    await assert.rejects(whileMoving(Promise.reject(new Error('no')), silent), /no/);
  });

  test('names what hangs on nothing that could be looked at', async () => {
    const still = await whileMoving(new Promise(() => {}), { ...silent, limitMs: LIMIT_MS });
    assert.deepEqual(still, ['nothing: no CPU time for 1 s']);
  });

  test('tells once of a program that is slow, and gives up one that stops', async () => {
    const script = 'i=0; while [ $i -lt 40 ]; do sleep 0.1; i=$((i+1)); done; kill -STOP $$';
    const child = spawn('sh', ['-c', script], { stdio: 'ignore' });
    const told: string[] = [];
    const name = `sh (process ${child.pid})`;
    const awaited = () => [{ name, signs: () => programSigns(child.pid!) }];
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const tell = (sentence: string) => told.push(sentence);
    const still = await whileMoving(ended, { what: 'sh', awaited, tell, limitMs: 2_000 });
    child.kill('SIGKILL');
    await ended;
    assert.match(still[0] ?? '', /^sh \(process \d+\): no CPU time for 2 s$/);
    assert.deepEqual(told, ['waiting for sh: slow, but it gets on']);
  });
});

describe('a program', () => {
  test('that is slow is waited for', async () => {
    const run = commandRunner([], LIMIT_MS);
    const script = 'i=0; while [ $i -lt 20 ]; do sleep 0.2; i=$((i+1)); done; echo done';
    assert.equal(await run(['sh', '-c', script]), 'done\n');
  });

  test('that stands still is killed, and its name told', async () => {
    const run = commandRunner([], LIMIT_MS);
    await assert.rejects(run(['sleep', '600']), (error) => {
      assert.ok(error instanceof CommandError);
      assert.match(error.message, /^'sleep 600' failed: it stood still/);
      return true;
    });
  });
});

describe('a heartbeat', () => {
  const CASES: readonly [string, (second: number) => Signs, boolean][] = [
    ['and no CPU to be had', () => ({ cpuMs: 7, runnable: true }), false],
    ['and a little CPU', (n) => ({ cpuMs: n, runnable: false }), false],
    ['and standing still', () => ({ cpuMs: 7, runnable: false }), true],
    ['and all the CPU there is', (n) => ({ cpuMs: n * 1000, runnable: true }), true],
  ];
  for (const [what, signs, hangs] of CASES) {
    test(`missing for a minute, ${what}: ${hangs ? 'hangs' : 'is excused'}`, () => {
      const beat = new Beat(0);
      beat.look(0, 1, signs(0));
      for (let second = 1; second <= 60; second++) beat.look(second * 1000, 1, signs(second));
      assert.equal(beat.hangsMs(60_000) >= 5_000, hangs);
      assert.equal(beat.since, 0);
      beat.look(61_000, 2, signs(61));
      assert.equal(beat.hangsMs(61_000), 0);
    });
  }
});
