import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { type Monitor, startMonitor } from '../../src/linux/monitor.ts';
import { makeFolder } from '../support/maker.ts';
import { run } from '../support/process.ts';
import { waitFor } from '../support/waitfor.ts';
import { createNamespace, type Namespace } from './namespace.ts';

const MODULE = new URL('../../src/linux/monitor.js', import.meta.url).href;

describe('the monitor', () => {
  let space: Namespace;
  let monitor: Monitor;
  let changes: number;
  let losses: string[];

  const children = () => run(['ip', 'netns', 'pids', space.name]).split('\n').filter(Boolean);
  const change = (mtu: number) => space.ip(`link set lo mtu ${mtu}\n`);

  beforeEach(async () => {
    space = createNamespace();
    changes = 0;
    losses = [];
    monitor = startMonitor({
      changed: () => {
        changes += 1;
      },
      log: { warn: (sentence: string) => losses.push(sentence) } as never,
      prefix: ['ip', 'netns', 'exec', space.name],
    });
    // The child is listening once a change is heard.
    let mtu = 60_000;
    await waitFor('the first change', () => {
      change(mtu++);
      return changes > 0;
    });
  });

  afterEach(async () => {
    await monitor.stop();
    assert.deepEqual(children(), []);
    space.remove();
  });

  test('tells of a change, and of a storm only now and then', async () => {
    const start = performance.now();
    const before = changes;
    for (let mtu = 50_000; mtu < 50_040; mtu++) {
      await space.run(['ip', 'link', 'set', 'lo', 'mtu', `${mtu}`]);
    }
    await waitFor('the end of the storm', () => changes > before);
    const allowed = (performance.now() - start) / 500 + 2;
    assert.ok(changes - before <= allowed, `${changes - before} wake-ups, ${allowed} allowed`);
  });

  test('comes back when its child is killed, and looks then', async () => {
    const before = changes;
    process.kill(Number(children()[0]), 'SIGKILL');
    await waitFor('word of the loss', () => losses.length > 0);
    assert.match(losses[0]!, /^'ip monitor' ended with SIGKILL; starting it again$/);
    await waitFor('a new child', () => children().length === 1);
    await waitFor('a look', () => changes > before);
  });

  /** Runs a monitor in a process of its own, and kills that without warning. */
  async function killWatcher(environment: NodeJS.ProcessEnv): Promise<string> {
    const program = `
      import { startMonitor } from ${JSON.stringify(MODULE)};
      const prefix = ['/usr/sbin/ip', 'netns', 'exec', ${JSON.stringify(space.name)}];
      const log = { warn: console.log };
      startMonitor({ changed: () => console.log('changed'), log, prefix });`;
    const own = children();
    const argv = [process.execPath, '--input-type=module', '--eval', program];
    const watcher = spawn(argv[0]!, argv.slice(1), { env: environment, stdio: 'pipe' });
    let output = '';
    watcher.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    let mtu = 40_000;
    await waitFor('the first change', () => {
      change(mtu++);
      return output.includes('changed');
    });
    const [child] = children().filter((pid) => !own.includes(pid));
    watcher.kill('SIGKILL');
    return child!;
  }
  const lives = (pid: string) => children().includes(pid);

  test('takes its child with it when it is killed', async () => {
    const child = await killWatcher(process.env);
    await waitFor('the end of the child', () => !lives(child));
  });

  test('without setpriv leaves a child that ends at the next change', async () => {
    const folder = makeFolder('monitor');
    try {
      symlinkSync('/usr/sbin/ip', join(folder, 'ip'));
      const child = await killWatcher({ PATH: folder });
      assert.ok(lives(child));
      let mtu = 30_000;
      await waitFor('the end of the child', () => {
        change(mtu++);
        return !lives(child);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
