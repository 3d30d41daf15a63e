import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import {
  createNotifier,
  type Notifier,
  notifyAddress,
  watchdogMilliseconds,
} from '../../src/systemd/notify.ts';
import { makeFolder } from '../support/maker.ts';
import { Background } from '../support/process.ts';
import { waitFor } from '../support/waitfor.ts';

describe('systemd is told', () => {
  let folder: string;
  let receiver: Background | undefined;
  let notifier: Notifier | undefined;
  let troubles: string[];
  let healthy: boolean;
  let asked: number;

  beforeEach(() => {
    folder = makeFolder('notify');
    troubles = [];
    healthy = true;
    asked = 0;
  });

  afterEach(async () => {
    notifier?.close();
    if (receiver !== undefined && receiver.end === undefined) await receiver.stop('SIGKILL');
    receiver = undefined;
    rmSync(folder, { recursive: true });
  });

  async function listen(where: string): Promise<void> {
    receiver = new Background(['socat', '-dd', '-u', where, 'STDOUT']);
    await receiver.waitForOutput(/starting data transfer loop/);
  }

  function create(environment: NodeJS.ProcessEnv): Notifier {
    notifier = createNotifier(environment, {
      healthy: () => {
        asked += 1;
        return healthy;
      },
      trouble: (sentence) => troubles.push(sentence),
    });
    return notifier;
  }

  const heard = () => receiver?.stdout.split('\n').filter(Boolean) ?? [];
  const beats = () => heard().filter((line) => line === 'WATCHDOG=1').length;

  for (const kind of ['path', 'abstract'] as const) {
    test(`of start, state and end over a socket with ${kind} name`, async () => {
      const path = join(folder, 'notify');
      await listen(kind === 'path' ? `UNIX-RECV:${path}` : `ABSTRACT-RECV:${path}`);
      const told = create({ NOTIFY_SOCKET: kind === 'path' ? path : `@${path}` });
      told.ready();
      told.status('forwarding\nto 3 peers');
      told.stopping();
      await waitFor('the end', () => heard().includes('STOPPING=1'));
      assert.deepEqual(heard(), ['READY=1', 'STATUS=forwarding\\nto 3 peers', 'STOPPING=1']);
      assert.deepEqual(troubles, []);
    });
  }

  test('that we live only while we are healthy, and not before we are ready', async () => {
    const path = join(folder, 'notify');
    await listen(`UNIX-RECV:${path}`);
    const environment = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '20000' };
    const told = create({ ...environment, WATCHDOG_PID: `${process.pid}` });
    told.status('starting');
    await waitFor('a line', () => heard().length > 0);
    assert.equal(asked, 0);
    told.ready();
    await waitFor('beats', () => beats() >= 3);
    healthy = false;
    const [before, then] = [asked, beats()];
    await waitFor('questions', () => asked >= before + 3);
    told.status('ill');
    await waitFor('the state', () => heard().includes('STATUS=ill'));
    assert.ok(beats() <= then + 1, 'a sick process gave signs of life');
    healthy = true;
    const ill = beats();
    await waitFor('beats again', () => beats() > ill);
    told.stopping();
    const end = asked;
    told.status('over');
    await waitFor('the last state', () => heard().includes('STATUS=over'));
    assert.equal(asked, end);
  });

  test('of a full queue later: the newest of each, and all of it is not waited for', async () => {
    const path = join(folder, 'notify');
    await listen(`UNIX-RECV:${path}`);
    receiver!.child.kill('SIGSTOP');
    const told = create({ NOTIFY_SOCKET: path });
    // net.unix.max_dgram_qlen is 10 by default, and 512 under systemd.
    for (let number = 0; number < 600; number++) told.status(`${number}`);
    told.ready();
    receiver!.child.kill('SIGCONT');
    await waitFor('the last of them', () => heard().includes('READY=1'));
    assert.ok(heard().includes('STATUS=599'));
    assert.deepEqual(troubles, []);
  });

  test('nothing where nobody listens, and the log hears of it once', () => {
    const told = create({ NOTIFY_SOCKET: join(folder, 'gone') });
    told.ready();
    told.status('still here');
    assert.equal(troubles.length, 1);
    assert.match(troubles[0]!, /NOTIFY_SOCKET: connect failed with ENOENT/);
  });

  test('nothing without NOTIFY_SOCKET, and nothing over what is no socket of ours', () => {
    create({ WATCHDOG_USEC: '10000' }).ready();
    assert.deepEqual(troubles, []);
    create({ NOTIFY_SOCKET: 'vsock:2:1234' }).ready();
    assert.match(troubles.join(), /^NOTIFY_SOCKET=vsock:2:1234 is no AF_UNIX socket/);
  });
});

describe('the environment of a service', () => {
  test('names a socket of at most 108 bytes', () => {
    assert.deepEqual([...notifyAddress('/a')!], [1, 0, 0x2f, 0x61, 0]);
    assert.deepEqual([...notifyAddress('@a')!], [1, 0, 0, 0x61]);
    assert.equal(notifyAddress(`/${'x'.repeat(106)}`)!.length, 110);
    assert.equal(notifyAddress(`/${'x'.repeat(107)}`)!.length, 110);
    assert.equal(notifyAddress(`/${'x'.repeat(108)}`), undefined);
    for (const name of ['', '/', '@', 'relative', '/a\0b']) {
      assert.equal(notifyAddress(name), undefined, name);
    }
  });

  const spans: [NodeJS.ProcessEnv, number][] = [
    [{ WATCHDOG_USEC: '30000000' }, 15_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: `${process.pid}` }, 15_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' }, 0],
    [{ WATCHDOG_USEC: '1' }, 1],
    [{ WATCHDOG_USEC: '0' }, 0],
    [{ WATCHDOG_USEC: 'soon' }, 0],
    [{ WATCHDOG_USEC: '999999999999999' }, 0x7fffffff],
    [{}, 0],
  ];
  for (const [environment, wanted] of spans) {
    test(`${JSON.stringify(environment)} beats every ${wanted} ms`, () => {
      assert.equal(watchdogMilliseconds(environment), wanted);
    });
  }
});
