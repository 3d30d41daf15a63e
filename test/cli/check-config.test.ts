import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startEtcd } from '../support/etcd.ts';
import { makeFolder } from '../support/maker.ts';
import { attempt } from '../support/process.ts';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

describe('weft check-config', () => {
  let folder: string;
  before(() => {
    folder = makeFolder('check');
  });
  after(() => rmSync(folder, { recursive: true }));

  function write(name: string, text: string): string {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  }
  const check = (...words: string[]) => attempt([process.execPath, CLI, 'check-config', ...words]);

  test('of what can work ends with 0 and shows what is set', () => {
    const leases = write('good.json', '{"10.1.9.0-24": {"PublicIP": "192.0.2.2"}}');
    const node = ['--network', '10.1.0.0/16', '--subnet', '10.1.5.0/24', '--leases', leases];
    const { status, stdout } = check('dataplane', ...node);
    assert.equal(status, 0, stdout);
    assert.match(stdout, /^weft dataplane: nothing is wrong\n/);
    assert.match(stdout, /^ {2}subnet = 10\.1\.5\.0\/24 \(--subnet\)$/m);
  });

  test('tells options, files, leases and network config at once, and ends with 2', () => {
    const leases = write('bad.json', '{"10.1.9.7-24": {}, "10.1.8.0-24": {"PublicIP": "x"}}');
    const network = write('net-conf.json', '{"Network": "10.1.0.0/33", "SubnetLen": "x"}');
    const words = ['--prot', '1', '--mtu', '3', '--network', '10.1.0.0/16'];
    const files = ['--leases', leases, '--network-config', network];
    const { status, stdout } = check('dataplane', ...words, ...files);
    assert.equal(status, 2);
    for (const fault of [
      /--prot is no option of weft dataplane; did you mean --port\?|--prot is no option/,
      /--mtu is a whole number/,
      /--network and --subnet go together/,
      /bad\.json: "10\.1\.9\.7-24": the IPv4 part is not the first address/,
      /bad\.json: "10\.1\.8\.0-24": PublicIP: "x" is not an IPv4 address/,
      /net-conf\.json: .*Network/,
      /net-conf\.json: SubnetLen/,
    ]) {
      assert.match(stdout, fault);
    }
    const json = JSON.parse(check('dataplane', ...words, ...files, '-o', 'json').stdout);
    assert.equal(json.command, 'dataplane');
    assert.equal(`${json.faults.length} faults`, /\d+ faults/.exec(stdout)![0]);
  });

  test('tells a bad subnet file, and shows no secret', () => {
    const file = write('subnet.env', 'FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=nowhere\n');
    const words = ['--subnet-file', file, '--etcd-password', 'hunter2'];
    const { status, stdout } = check('dataplane', ...words);
    assert.equal(status, 2);
    assert.match(stdout, /subnet\.env: .*FLANNEL_SUBNET/);
    assert.doesNotMatch(stdout, /hunter2/);
    assert.match(stdout, /etcd-password = \(secret\)/);
  });

  test('options of other commands are told', () => {
    const { stdout } = check('agent', '--workers', '2');
    assert.match(stdout, /--workers is no option of weft agent/);
  });

  test('asks etcd for the network config when told to', async () => {
    const etcd = await startEtcd();
    try {
      const words = ['run', '--etcd-endpoints', etcd.endpoints.join(','), '--network-config'];
      const missing = check(...words);
      assert.equal(missing.status, 2);
      assert.match(missing.stdout, /there is no network config/);
      await etcd.put('/coreos.com/network/config', '{"Network": "10.1.0.0/16"}');
      const good = check(...words);
      assert.equal(good.status, 0, good.stdout);
      assert.match(good.stdout, /network config is fine, backend udp/);
    } finally {
      await etcd.stop();
    }
    const gone = check('run', '--etcd-endpoints', etcd.endpoints.join(','), '--network-config');
    assert.equal(gone.status, 2);
    assert.match(gone.stdout, /cannot be reached/);
  });
});
