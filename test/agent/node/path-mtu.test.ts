/** Path MTUs of peers, as the kernel has learned them. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { pino } from 'pino';
import { watchPathMtus } from '../../../src/agent/node/path-mtu.ts';
import { CommandError } from '../../../src/linux/command.ts';
import { listPathMtus } from '../../../src/linux/route.ts';
import { waitFor } from '../../support/waitfor.ts';

/** As iproute2 6.1 prints them: two next hops, a redirect, another destination. */
const EXCEPTIONS = JSON.stringify([
  { dst: '192.0.2.66', gateway: '192.0.2.2', dev: 'e0', cache: [], metrics: [{ mtu: 1400 }] },
  { dst: '192.0.2.66', gateway: '192.0.2.3', dev: 'e1', cache: [], metrics: [{ mtu: 1300 }] },
  { dst: '192.0.2.67', gateway: '192.0.2.9', dev: 'e0', cache: ['redirected'] },
  { dst: '192.0.2.68', gateway: '192.0.2.2', dev: 'e0', cache: [], metrics: [{ mtu: 1350 }] },
]);

describe('path MTUs', () => {
  test('are those of exceptions, the least where there are several', async () => {
    const learned = await listPathMtus(async () => EXCEPTIONS);
    assert.deepEqual(
      [...learned],
      [
        ['192.0.2.66', 1300],
        ['192.0.2.68', 1350],
      ],
    );
  });

  test('are not known before the first look; trouble is told once, and gets over', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    let answer: string | undefined = EXCEPTIONS;
    let looks = 0;
    const run = async (argv: readonly string[]) => {
      looks += 1;
      if (answer === undefined) throw new CommandError(argv, 'out of memory');
      return answer;
    };
    const watch = watchPathMtus({ run, log, everyMs: 1 });
    const later = (count: number, from = looks) => waitFor('looks', () => looks > from + count);
    try {
      assert.equal(watch.of('192.0.2.66', 1500), undefined);
      await waitFor('the first look', () => watch.of('192.0.2.66', 1500) === 1300);
      assert.equal(watch.of('192.0.2.1', 1500), 1500);
      assert.equal(watch.of('192.0.2.1', undefined), undefined);
      answer = undefined;
      await later(5);
      assert.equal(watch.of('192.0.2.66', 1500), undefined);
      answer = '[]';
      await waitFor('the end of the exception', () => watch.of('192.0.2.66', 1500) === 1500);
      assert.match(lines.join('|'), /^[^|]*path MTUs of peers are not known: [^|]*memory[^|]*$/);
    } finally {
      watch.close();
    }
    const before = looks;
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(looks <= before + 1);
  });
});
