/** weft doctor on live nodes: fine when all is well, and each fault, made for real, is named. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import type { Finding, Outcome } from '../../src/doctor/check.ts';
import { ask, leasesOf, startAll, type Weft, weftPath, writeLeases } from '../support/node.ts';
import { attempt, run } from '../support/process.ts';
import { buildTopology, inside, ip, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

interface Answer {
  readonly well: boolean;
  readonly checks: readonly { readonly check: string; readonly findings: readonly Finding[] }[];
}

const NO_TUN = /^there is no \/dev\/net\/tun$/;

describe('weft doctor', () => {
  let topology: Topology;
  let wefts: Weft[];
  let file: string;

  before(async () => {
    topology = buildTopology({ nodes: 2 });
    file = writeLeases(topology);
    wefts = await startAll(topology, ['--leases', file]);
    // As an operator sets it up: the kernel's own limits and checks out of the way.
    for (const { namespace } of topology.nodes) sysctl(namespace, 'net.ipv4.ip_forward=1');
  });
  after(async () => {
    await Promise.all(wefts.map((weft) => weft.stop()));
    topology.remove();
  });

  const node = (index: number) => topology.nodes[index - 1]!;
  const sysctl = (namespace: string, setting: string) =>
    run(inside(namespace, ['sysctl', '-qw', setting]));
  const nft = (ruleset: string) =>
    run(inside(node(1).namespace, ['nft', '-f', '-']), { input: ruleset });

  /** Every check costs time, and peers that are lost cost most. */
  function doctor(
    only?: string,
    prefix: readonly string[] = [],
    socket = node(1).apiSocket,
  ): Answer {
    const some = only === undefined ? [] : ['--only', only];
    const words = [weftPath, 'doctor', '-o', 'json', ...some, '--api-socket', socket];
    const argv = inside(node(1).namespace, [...prefix, process.execPath, ...words]);
    const { stdout, stderr, status } = attempt(argv);
    assert.equal(stderr, '');
    const answer = JSON.parse(stdout) as Answer;
    assert.equal(status, answer.well ? 0 : 6);
    return answer;
  }

  /** Asserts that a check says this, and why and what to do. */
  function found(answer: Answer, check: string, outcome: Outcome, what: RegExp): Finding {
    const { findings } = answer.checks.find((each) => each.check === check)!;
    const finding = findings.find((each) => each.outcome === outcome && what.test(each.what));
    assert.ok(finding, `${check} ${outcome} ${what} in ${JSON.stringify(findings, null, 2)}`);
    if (outcome !== 'unknown' && outcome !== 'fine') assert.notEqual(finding.why, '');
    if (outcome !== 'fine') assert.notEqual(finding.cure, '');
    return finding;
  }

  test('finds nothing wrong with a node that is well', () => {
    const answer = doctor();
    const all = answer.checks.flatMap(({ findings }) => findings);
    assert.deepEqual(
      all.filter(({ outcome }) => outcome === 'wrong' || outcome === 'unknown'),
      [],
    );
    assert.ok(answer.well);
    assert.equal(answer.checks.length, 13);
    const { stdout, status } = ask(node(1), 'doctor');
    assert.equal(status, 0);
    assert.match(stdout, /^fine +peers +1 peers answer with full packets \(all asked\)$/m);
    assert.match(stdout, /^0 wrong, \d+ doubtful, 0 not known$/m);
    for (const line of stdout.split('\n')) assert.ok(line.length <= 120, line);
  });

  test('no weft', () => {
    const words = [weftPath, 'doctor', '--api-socket', '/nowhere.sock'];
    const ran = attempt(inside(node(1).namespace, [process.execPath, ...words]));
    assert.equal(ran.status, 6);
    assert.match(ran.stdout, /^wrong +weft +no weft answers on its socket$/m);
  });

  test('no /dev/net/tun', () => {
    const hide = 'mount -t tmpfs none /dev/net && exec "$@"';
    const hidden = ['unshare', '--mount', 'sh', '-c', hide, 'sh'];
    const { explains } = found(
      doctor(undefined, hidden, '/nowhere.sock'),
      'powers',
      'wrong',
      NO_TUN,
    );
    assert.deepEqual(explains?.slice(0, 2), ['weft', 'routes']);
    // A weft that runs has its device, wherever this command runs.
    assert.ok(doctor('powers', hidden).well);
  });

  test('no CAP_NET_ADMIN', () => {
    const without = ['setpriv', '--bounding-set', '-net_admin', '--'];
    found(doctor('powers', without, '/nowhere.sock'), 'powers', 'wrong', /^CAP_NET_ADMIN is not/);
    assert.ok(doctor('powers', without).well);
  });

  test('a kernel that is too old', () => {
    // personality(2), UNAME26: the kernel calls itself 2.6.
    const answer = doctor('kernel', ['setarch', '--uname-2.6', '--']);
    found(answer, 'kernel', 'wrong', /^Linux 2\.6\.\S+ is older than 5\.4$/);
  });

  test('forwarding off', () => {
    sysctl(node(1).namespace, 'net.ipv4.ip_forward=0');
    const answer = doctor('sysctls');
    sysctl(node(1).namespace, 'net.ipv4.ip_forward=1');
    const { cure } = found(answer, 'sysctls', 'wrong', /^net\.ipv4\.ip_forward is 0$/);
    assert.match(cure, /sysctl -w net\.ipv4\.ip_forward=1/);
  });

  test('a foreign route, and strict rp_filter against it', () => {
    sysctl(node(1).namespace, 'net.ipv4.conf.flannel0.rp_filter=1');
    ip(node(1).namespace, 'route add 10.244.2.0/25 via 192.0.2.254 dev eth0\n');
    const [answer, alone] = [doctor('routes,sysctls'), doctor('sysctls')];
    ip(node(1).namespace, 'route del 10.244.2.0/25\n');
    sysctl(node(1).namespace, 'net.ipv4.conf.flannel0.rp_filter=0');
    const { explains } = found(
      answer,
      'routes',
      'wrong',
      /'10\.244\.2\.0\/25 via 192\.0\.2\.254 dev eth0' takes a part/,
    );
    assert.deepEqual(explains, ['sysctls']);
    found(alone, 'sysctls', 'wrong', /^rp_filter is strict on flannel0, .* 10\.244\.2\.1 is eth0$/);
  });

  test('a device larger than its underlay, and pods larger than the device', () => {
    ip(node(1).namespace, 'link set eth0 mtu 1400\nlink set cni0 mtu 1500\n');
    const answer = doctor('mtu');
    ip(node(1).namespace, 'link set eth0 mtu 1500\nlink set cni0 mtu 1472\nroute flush cache\n');
    found(answer, 'mtu', 'wrong', /^MTU 1472 of flannel0 is over the 1372 that eth0 has room for$/);
  });

  test('an underlay that loses large packets in silence', async () => {
    // The bridge between the nodes drops what is too long for a port of it, and tells nobody.
    ip(topology.underlay, 'link set to-n2 mtu 1400\n');
    const answer = doctor('peers');
    ip(topology.underlay, 'link set to-n2 mtu 1500\n');
    const { cure } = found(
      answer,
      'peers',
      'wrong',
      /^192\.0\.2\.2 \(10\.244\.2\.0\/24\) answers packets of 1372 bytes and none larger/,
    );
    assert.match(cure, /^--mtu 1372 /);
  });

  test('a firewall on our side, by rule and by policy', () => {
    const input = (policy: string, rules: string) =>
      nft(`table inet filter {
        chain input {
          type filter hook input priority 0; policy ${policy};
          ${rules}
        }
      }`);
    input('accept', 'udp dport 8285 drop');
    const rule = doctor('firewall,peers');
    nft('delete table inet filter');
    const { cure, explains } = found(
      rule,
      'firewall',
      'wrong',
      /^handle \d+ of chain inet filter input drops UDP 8285 from/,
    );
    assert.deepEqual(explains, ['peers']);
    assert.match(cure, /^nft insert rule inet filter input udp dport 8285 accept, .*nft -a list/);
    assert.deepEqual(rule.checks.find(({ check }) => check === 'peers')?.findings, []);
    input('drop', 'tcp dport 22 accept; icmp type { echo-request, echo-reply } accept');
    const policy = doctor('firewall');
    nft('delete table inet filter');
    found(policy, 'firewall', 'wrong', /^policy drop of chain inet filter input drops UDP 8285/);
  });

  test('a firewall at the peer', () => {
    const there = (words: string) => run(inside(node(2).namespace, ['nft', ...words.split(' ')]));
    there('add table ip f');
    there('add chain ip f in { type filter hook input priority 0 ; }');
    there('add rule ip f in udp dport 8285 drop');
    const answer = doctor('peers');
    there('delete table ip f');
    const what =
      /^192\.0\.2\.2 .* answers on the underlay, but nothing comes back through UDP 8285/;
    found(answer, 'peers', 'wrong', what);
  });

  test('an outer flow that is tracked is no trouble; the emitted ruleset frees it', () => {
    nft(`table inet nat {
      chain post {
        type nat hook postrouting priority 100
        ip saddr 198.51.100.0/24 masquerade
      }
    }`);
    run(inside(node(1).pod.namespace, ['ping', '-qc1', '-W2', node(2).pod.address]));
    const answer = doctor('conntrack');
    found(answer, 'conntrack', 'fine', /^conntrack holds \d+ of at most \d+ flows$/);
    nft(ask(node(1), 'doctor', '--emit-nft').stdout);
    run(inside(node(1).namespace, ['sh', '-c', 'nft -j list ruleset | grep -q 192.0.2.2']));
    run(inside(node(1).pod.namespace, ['ping', '-qc1', '-W2', node(2).pod.address]));
    nft('delete table inet nat\ndelete table inet weft');
  });

  test('the emitted ruleset admits peers alone, and again over itself', () => {
    const ruleset = ask(node(1), 'doctor', '--emit-nft').stdout;
    nft(ruleset);
    nft(ruleset);
    run(inside(node(1).pod.namespace, ['ping', '-qc1', '-W2', node(2).pod.address]));
    const before = wefts[0]!.metrics();
    const stranger = inside(topology.underlay, ['socat', '-u', '-', 'UDP:192.0.2.1:8285']);
    run(stranger, { input: 'a stranger says hello' });
    run(inside(node(1).pod.namespace, ['ping', '-qc1', '-W2', node(2).pod.address]));
    assert.deepEqual(wefts[0]!.metrics().newDrops(before, 'rx'), {});
    assert.ok(doctor().well);
    nft('delete table inet weft');
  });

  test('two nodes with one PublicIP, ours and that of a peer', async () => {
    const one = { PublicIP: node(1).address };
    const two = { PublicIP: node(2).address };
    const twins = { ...leasesOf(topology.nodes), '10.244.7.0-24': one, '10.244.8.0-24': two };
    writeFileSync(file, JSON.stringify(twins));
    const peers = () => JSON.parse(ask(node(1), 'peers', '-o', 'json').stdout).total;
    await waitFor('the leases', () => peers() === 2);
    const answer = doctor('leases');
    writeLeases(topology);
    await waitFor('the leases', () => peers() === 1);
    found(
      answer,
      'leases',
      'wrong',
      /^the lease 10\.244\.7\.0-24 has our own PublicIP, 192\.0\.2\.1$/,
    );
    const both = /^10\.244\.2\.0\/24 and 10\.244\.8\.0\/24 have one PublicIP, 192\.0\.2\.2$/;
    found(answer, 'leases', 'wrong', both);
  });

  test('a NIC without receive offload', () => {
    run(inside(node(1).namespace, ['ethtool', '-K', 'eth0', 'gso', 'off', 'sg', 'off']));
    const answer = doctor('offloads');
    run(inside(node(1).namespace, ['ethtool', '-K', 'eth0', 'sg', 'on', 'gso', 'on']));
    found(answer, 'offloads', 'doubtful', /^generic-segmentation-offload of eth0 is off$/);
    found(answer, 'offloads', 'doubtful', /^scatter-gather of eth0 is off$/);
  });

  test('a lease source that went stale', async () => {
    writeFileSync(join(topology.directory, 'leases.json'), '{');
    await waitFor('trouble', () => /stale/.test(ask(node(1), 'status').stdout));
    const answer = doctor('weft');
    writeLeases(topology);
    found(answer, 'weft', 'wrong', /^leases from file \S+ are stale: /);
  });

  test('a dead peer, told from a dead weft', async () => {
    await wefts.pop()!.stop();
    found(doctor('peers'), 'peers', 'wrong', /^192\.0\.2\.2 .*: nobody listens on UDP 8285 there$/);
    ip(node(2).namespace, 'link set eth0 down\n');
    found(doctor('peers'), 'peers', 'wrong', /^192\.0\.2\.2 .* does not answer at all$/);
  });
});
