/** `weft dataplane` as a process, in a namespace of its own. */
import assert from 'node:assert/strict';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createNamespace, type Namespace } from '../linux/namespace.ts';
import { makeFolder } from '../support/maker.ts';
import { attempt, Background, run } from '../support/process.ts';
import { waitFor } from '../support/waitfor.ts';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const UNDERLAY = `link set lo up
link add eth0 type veth peer name far0
address add 192.0.2.1/24 dev eth0
link set far0 up
link set eth0 up
`;

describe('weft dataplane', () => {
  let space: Namespace;
  let folder: string;
  let weft: Background;

  beforeEach(() => {
    space = createNamespace();
    space.ip(UNDERLAY);
    folder = makeFolder('cli');
    writeFileSync(join(folder, 'leases.json'), '{"10.1.9.0-24": {"PublicIP": "192.0.2.2"}}');
  });
  afterEach(async () => {
    if (weft.end === undefined) await weft.stop('SIGKILL');
    space.remove();
    rmSync(folder, { recursive: true });
  });

  function inside(...argv: string[]): string[] {
    return ['ip', 'netns', 'exec', space.name, ...argv];
  }

  const start = (...args: string[]) => startAs([], ...args);

  /** `env NAME=value` in front, for a service manager's environment. */
  function startAs(service: readonly string[], ...args: string[]): void {
    const usual = ['--leases', join(folder, 'leases.json'), '--iface', 'eth0', '--workers', '1'];
    usual.push('--api-socket', join(folder, 'weft.sock'));
    weft = new Background(
      inside(...service, process.execPath, CLI, 'dataplane', ...usual, ...args),
    );
  }

  const NODE = ['--network', '10.1.0.0/16', '--subnet', '10.1.5.0/24'];

  function get(path: string): string {
    const socat = inside('socat', '-t5', '-', 'TCP:127.0.0.1:8286');
    return attempt(socat, { input: `GET ${path} HTTP/1.0\r\n\r\n` }).stdout;
  }

  const ready = () => waitFor('readiness', () => weft.end ?? get('/readyz').includes(' 200 '));
  const sysctl = (name: string) => run(inside('sysctl', '-n', name)).trim();

  test('sets the device up as flannel does, and leaves nothing behind', async () => {
    // The kernel's own look for duplicates of IPv6 addresses ends when it ends.
    const addresses = () => run(inside('ip', '-o', 'address')).replaceAll('tentative ', '');
    const before = addresses();
    start(...NODE);
    await ready();
    const show = run(inside('ip', '-details', 'address', 'show', 'flannel0'));
    assert.match(show, /mtu 1472 .*qlen 1000/);
    assert.match(show, /inet 10\.1\.5\.0\/32 scope global/);
    assert.doesNotMatch(show, /inet6/);
    assert.match(run(inside('ip', 'route')), /^10\.1\.0\.0\/16 dev flannel0/m);
    assert.equal(sysctl('net.ipv6.conf.flannel0.disable_ipv6'), '1');
    assert.equal(sysctl('net.ipv6.conf.flannel0.accept_ra'), '0');
    assert.equal(sysctl('net.ipv4.conf.flannel0.accept_local'), '1');
    const { code, ownMilliseconds } = await weft.stop();
    assert.equal(code, 0, weft.describe());
    assert.ok(ownMilliseconds < 1_000, `gone after ${ownMilliseconds} ms`);
    assert.equal(addresses(), before);
    assert.equal(run(['ip', 'netns', 'pids', space.name]), '');
  });

  test('tells systemd when it is ready, that it lives, and that it ends', async () => {
    const path = join(folder, 'notify');
    const systemd = new Background(['socat', '-dd', '-u', `UNIX-RECV:${path}`, 'STDOUT']);
    try {
      await systemd.waitForOutput(/starting data transfer loop/);
      startAs(['env', `NOTIFY_SOCKET=${path}`, 'WATCHDOG_USEC=200000'], ...NODE);
      await systemd.waitForOutput(/^READY=1\n(?:.*\n)*WATCHDOG=1\nWATCHDOG=1$/m);
      assert.match(systemd.stdout, /^STATUS=not ready: .*\n(?:.*\n)*STATUS=ready\n/);
      assert.match(get('/readyz'), / 200 /);
      await weft.stop();
      assert.match(systemd.stdout, /^STOPPING=1$/m);
    } finally {
      await systemd.stop('SIGKILL');
    }
  });

  test('says in one line what it does, and warns of ip_forward', async () => {
    run(inside('sysctl', '-w', 'net.ipv4.ip_forward=0'));
    start(...NODE);
    await ready();
    await weft.waitForOutput(/"msg":"ready: 1 peer"/);
    const line = weft.stdout.split('\n').find((text) => text.includes('forwarding'))!;
    for (const part of [
      ...['10.1.5.0/24 of 10.1.0.0/16', 'flannel0 (MTU 1472)', 'eth0 192.0.2.1:8285'],
      ...['(--iface eth0)', '1 out and 1 in workers (--workers)', 'leases.json', 'features:'],
    ]) {
      assert.ok(JSON.parse(line).msg.includes(part), `${part} is not in ${line}`);
    }
    assert.match(weft.stdout, /net\.ipv4\.ip_forward is 0/);
    await weft.stop();
  });

  test('waits for the file of the agent: alive, not ready, and easily ended', async () => {
    const file = join(folder, 'subnet.env');
    start('--subnet-file', file);
    await waitFor('the wait', () => get('/readyz').includes('is the control agent running?'));
    assert.match(get('/readyz'), / 503 /);
    assert.match(get('/healthz'), / 200 /);
    assert.match(get('/metrics'), /weft_packets_total\{direction="tx"\} 0/);
    assert.equal((await weft.stop()).code, 0, weft.describe());

    start('--subnet-file', file);
    await waitFor('the wait', () => get('/readyz').includes('waiting'));
    const lines = 'FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.5.1/24\nFLANNEL_MTU=1400\n';
    writeFileSync(`${file}.new`, lines);
    renameSync(`${file}.new`, file);
    await ready();
    assert.match(run(inside('ip', 'link', 'show', 'flannel0')), /mtu 1400/);
    await weft.stop();
  });

  test('ends with 4 when the agent is given another subnet', async () => {
    const file = join(folder, 'subnet.env');
    const lines = 'FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.5.1/24\n';
    writeFileSync(file, lines);
    start('--subnet-file', file);
    await ready();
    writeFileSync(file, lines.replace('10.1.5.1', '10.1.6.1'));
    // Any change of a link calls for a look; so does the clock, later.
    space.ip('link set far0 mtu 1400\n');
    const { code } = await weft.wait();
    assert.equal(code, 4, weft.describe());
    assert.match(weft.stderr, /now says 10\.1\.6\.0\/24/);
    assert.doesNotMatch(run(inside('ip', 'link')), /flannel0/);
  });

  test('a second signal kills at once', async () => {
    start(...NODE);
    await ready();
    process.kill(weftPid(), 'SIGSTOP');
    weft.child.kill('SIGTERM');
    weft.child.kill('SIGINT');
    process.kill(weftPid(), 'SIGCONT');
    const { code, signal } = await weft.wait();
    // Both signals may be delivered before the first is acted upon, or after the end began.
    assert.ok(signal === 'SIGKILL' || code === 0, `${code} ${signal}`);
  });

  /** `ip netns exec` becomes the program it runs. */
  function weftPid(): number {
    return weft.child.pid!;
  }

  test('a second weft on the same node is told so, and harms nothing', async () => {
    start(...NODE);
    await ready();
    const other = ['--metrics-listen', '127.0.0.1:0', '--leases', join(folder, 'leases.json')];
    other.push('--api-socket', 'none');
    const argv = inside(process.execPath, CLI, 'dataplane', '--iface', 'eth0', ...NODE, ...other);
    const same = attempt(argv);
    assert.equal(same.status, 3);
    assert.match(same.stderr, /UDP 192\.0\.2\.1:8285 cannot be used: taken/);
    const otherPort = attempt([...argv, '--port', '8299']);
    assert.equal(otherPort.status, 3);
    assert.match(otherPort.stderr, /flannel0 is held by weft dataplane \(pid \d+/);
    assert.match(run(inside('ip', 'link')), /flannel0/);
    assert.match(get('/readyz'), / 200 /);
    await weft.stop();
  });

  test('follows the underlay: away is not ready, back is ready', async () => {
    start(...NODE);
    await ready();
    space.ip('address delete 192.0.2.1/24 dev eth0\n');
    await waitFor('word', () => get('/readyz').includes('eth0 lost its address 192.0.2.1'));
    space.ip('address add 192.0.2.1/24 dev eth0\n');
    await ready();
    space.ip('link set eth0 mtu 1400\n');
    await weft.waitForOutput(/underlay eth0 now has MTU 1400: too small for flannel0/);
    assert.match(get('/metrics'), /weft_mtu_bytes\{layer="underlay"\} 1400/);
    await weft.stop();
  });
});
