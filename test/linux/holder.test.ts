/** Who has what weft wants: each kind of thing, held by a process of the test's own. */
import assert from 'node:assert/strict';
import { chmodSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { serviceOf } from '../../src/linux/holder/process.ts';
import { makeFolder } from '../support/maker.ts';
import { holdDevice } from '../support/past-device.ts';
import { Background, run } from '../support/process.ts';
import { createNamespace, type Namespace } from './namespace.ts';

const MODULE = fileURLToPath(new URL('../../src/linux/holder/holder.js', import.meta.url));

describe('who has it', () => {
  let space: Namespace;
  let directory: string;

  before(() => {
    space = createNamespace();
    directory = makeFolder('holder');
    space.ip('link set lo up\nlink add v7 type vxlan id 7 local 127.0.0.1 dstport 4789\n');
    space.ip('link set v7 up\ntuntap add dev flannel0 mode tun multi_queue\n');
  });
  after(() => {
    space.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  interface Asked {
    readonly who: string;
    readonly cure: string;
    readonly known: boolean;
  }

  /** As a process of that namespace would be told, `whoHasPort('udp', '127.0.0.1', 8285)`. */
  function ask(call: string, before: readonly string[] = []): Asked {
    const program = `
      const { commandRunner } = await import('${MODULE.replace('holder/holder.js', 'command.js')}');
      const holder = await import('${MODULE}');
      console.log(JSON.stringify(await holder.${call}));`;
    const node = [process.execPath, '--input-type=module', '-e', program];
    return JSON.parse(run(['ip', 'netns', 'exec', space.name, ...before, ...node])) as Asked;
  }

  async function held(argv: readonly string[], body: (holder: Background) => void): Promise<void> {
    const holder = new Background(['ip', 'netns', 'exec', space.name, ...argv]);
    try {
      await holder.waitForOutput(/held|listening on/);
      body(holder);
    } finally {
      await holder.stop('SIGKILL');
    }
  }

  const socat = (...words: string[]) => ['socat', '-d', '-d', '-u', ...words, '-'];
  const udp = `const s = require('dgram').createSocket('udp4');
    s.bind(8285, '127.0.0.1', () => console.log('held'));`;

  test('a UDP port: pid and program, by its script', async () => {
    await held([process.execPath, '-e', udp], (holder) => {
      const { who, cure, known } = ask("whoHasPort('udp', '127.0.0.1', 8285)");
      assert.equal(who, `node (pid ${holder.pid})`);
      assert.match(cure, /^if this node is to go on without node, stop it in the way it was/);
      assert.equal(known, true);
      assert.equal(ask("whoHasPort('udp', '0.0.0.0', 8285)").who, who);
      assert.equal(ask("whoHasPort('udp', '127.0.0.2', 8285)").known, false);
    });
  });

  test('a TCP port, of IPv4 and of both families', async () => {
    for (const address of ['TCP-LISTEN:8286,bind=127.0.0.1', 'TCP6-LISTEN:8286,ipv6only=0']) {
      await held(socat(address), (holder) => {
        const { who } = ask("whoHasPort('tcp', '127.0.0.1', 8286)");
        assert.equal(who, `socat (pid ${holder.pid})`);
      });
    }
  });

  test('a unix socket, also one that was renamed since', async () => {
    for (const name of ['weft.sock', 'weft.sock.4711']) {
      const path = join(directory, name);
      await held(socat(`UNIX-LISTEN:${path}`), (holder) => {
        const { who } = ask(`whoHasSocket('${join(directory, 'weft.sock')}')`);
        assert.equal(who, `socat (pid ${holder.pid})`);
      });
      rmSync(path, { force: true });
    }
  });

  test('a queue of a TUN, by the descriptor\u2019s own word', async () => {
    const holder = await holdDevice(space.name, 'flannel0');
    try {
      assert.match(ask("whoHoldsTun('flannel0')").who, new RegExp(`\\(pid ${holder.pid}\\)$`));
      assert.equal(ask("whoHoldsTun('flannel')").known, false);
    } finally {
      await holder.stop('SIGKILL');
    }
  });

  test('a TUN of that name in another network namespace is told as such', async () => {
    const other = createNamespace();
    other.ip('tuntap add dev flannel7 mode tun multi_queue\n');
    const holder = await holdDevice(other.name, 'flannel7');
    try {
      const { who } = ask("whoHoldsTun('flannel7')");
      assert.match(who, new RegExp(`pid ${holder.pid}, in another network namespace`));
    } finally {
      await holder.stop('SIGKILL');
      other.remove();
    }
  });

  test('a port of the kernel\u2019s own: the device', () => {
    const { who, known } = ask("whoHasPort('udp', '127.0.0.1', 4789, commandRunner())");
    assert.equal(who, 'the vxlan device v7');
    assert.equal(known, true);
  });

  test('a program with a hostile name cannot write to the terminal, nor fill it', async () => {
    const path = join(directory, `\u001b[31mEVIL\n${'x'.repeat(120)}`);
    symlinkSync(process.execPath, path);
    await held([path, '-e', udp], () => {
      const { who } = ask("whoHasPort('udp', '127.0.0.1', 8285)");
      assert.match(who, /^\\u001b\[31mEVIL\\nx+… \(\d+ more characters\) \(pid \d+\)$/);
      assert.ok(who.length < 140, who);
    });
  });

  test('who may not look is told so, and where to look', async () => {
    chmodSync(directory, 0o755);
    await held([process.execPath, '-e', udp], () => {
      const powerless = ['setpriv', '--reuid', '65534', '--clear-groups', '--bounding-set', '-all'];
      const { who, cure, known } = ask("whoHasPort('udp', '127.0.0.1', 8285)", powerless);
      assert.match(who, /^a process that cannot be seen from here: \d+ processes are hidden/);
      assert.equal(cure, "as root, see ss -Hulnp 'sport = 8285'");
      assert.equal(known, false);
    });
  });

  const units: readonly (readonly [cgroup: string, unit: string | undefined])[] = [
    ['0::/system.slice/flanneld.service\n', 'flanneld.service'],
    ['12:pids:/x\n1:name=systemd:/system.slice/weft@a.service\n', 'weft@a.service'],
    ['0::/system.slice/containerd.service\n', undefined],
    ['0::/system.slice/kubelet.service\n', undefined],
    ['0::/system.slice/ssh.service\n', undefined],
    ['0::/system.slice/containerd.service/kubepods/pod1\n', undefined],
    ['0::/user.slice/user-0.slice/user@0.service\n', undefined],
    ['0::/kubepods.slice/cri-containerd-1.scope\n', undefined],
    ['0::/system.slice/a;reboot.service\n', undefined],
  ];
  for (const [cgroup, unit] of units) {
    test(`the unit of ${cgroup.trim()} is ${unit ?? 'none to stop'}`, () => {
      assert.equal(serviceOf(cgroup), unit);
    });
  }
});
