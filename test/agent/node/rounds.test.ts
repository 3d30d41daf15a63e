import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { Rounds } from '../../../src/agent/node/rounds.ts';

/** Rounds that end when the test says so, and what began and ended so far. */
function heldRounds() {
  const told: string[] = [];
  const ends: (() => void)[] = [];
  const rounds = new Rounds(async () => {
    const number = ends.length + 1;
    told.push(`begin ${number}`);
    await new Promise<void>((resolve) => ends.push(resolve));
    told.push(`end ${number}`);
  });
  return { rounds, told, endRound: (number: number) => ends[number - 1]!() };
}

const turnOfLoop = () => new Promise((resolve) => setImmediate(resolve));

describe('rounds', () => {
  test('serve all who ask during one by exactly one more, which begins after it', async () => {
    const { rounds, told, endRound } = heldRounds();
    const first = rounds.ask();
    const during = [rounds.ask(), rounds.ask(), rounds.ask()];
    const answered = Promise.all(during).then(() => told.push('answered'));
    endRound(1);
    await turnOfLoop();
    assert.deepEqual(told, ['begin 1', 'end 1', 'begin 2']);
    endRound(2);
    await Promise.all([first, answered]);
    await turnOfLoop();
    assert.deepEqual(told, ['begin 1', 'end 1', 'begin 2', 'end 2', 'answered']);
  });

  test('begin another for who asks in the very moment that one ends', async () => {
    for (let microtasks = 0; microtasks < 8; microtasks++) {
      const { rounds, told, endRound } = heldRounds();
      const first = rounds.ask();
      endRound(1);
      for (let each = 0; each < microtasks; each++) await undefined;
      const second = rounds.ask();
      await turnOfLoop();
      const begun = ['begin 1', 'end 1', 'begin 2'];
      assert.deepEqual(told, begun, `asked ${microtasks} microtasks after the end`);
      endRound(2);
      await Promise.all([first, second]);
    }
  });

  test('begin none once stopped; the stop waits for the one under way', async () => {
    const { rounds, told, endRound } = heldRounds();
    const asked = [rounds.ask(), rounds.ask()];
    const stopped = rounds.stop().then(() => told.push('stopped'));
    await turnOfLoop();
    assert.deepEqual(told, ['begin 1']);
    endRound(1);
    await Promise.all([...asked, stopped]);
    await rounds.ask();
    assert.deepEqual(told, ['begin 1', 'end 1', 'stopped']);
  });
});
