import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { OPTIONS } from '../src/config/options.ts';
import { didYouMean, OFFLOAD_NAMES } from '../src/config/values.ts';
import { type Config, ConfigError, type GivenOptions, readConfig } from '../src/config.ts';
import { FEATURES } from '../src/dataplane/messages.ts';

/** `{ port: '1' }` → what the command line hands over. */
function read(given: Record<string, string | string[]>, environment: NodeJS.ProcessEnv = {}) {
  const texts = Object.entries(given).map(([name, text]) => [name, [text].flat()]);
  return readConfig('dataplane', Object.fromEntries(texts) as GivenOptions, environment);
}

function faultsOf(given: Record<string, string | string[]>, environment: NodeJS.ProcessEnv = {}) {
  try {
    read(given, environment);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.faults;
  }
  return [];
}

describe('options', () => {
  test('have the documented defaults', () => {
    const { interfacePatterns, ...config } = read({});
    assert.deepEqual(interfacePatterns, []);
    const expected: Partial<Config> = {
      subnetFile: '/run/flannel/subnet.env',
      network: undefined,
      device: 'flannel0',
      port: 8285,
      workers: undefined,
      accept: 'strict',
      timeToLive: 'keep',
      offloads: { off: [], forced: [] },
      txPorts: 1,
      dscp: 0,
      busyPoll: 0,
      etcdPrefix: '/coreos.com/network',
      metricsListen: { host: '127.0.0.1', port: 8286 },
      keepDevice: false,
      allowedHosts: [],
    };
    for (const [key, value] of Object.entries(expected)) {
      assert.deepEqual(config[key as keyof typeof config], value, key);
    }
  });

  test('come from flag, WEFT_*, FLANNELD_* and default, in that order', () => {
    const environment = { WEFT_ETCD_PREFIX: '/w', FLANNELD_ETCD_PREFIX: '/f' };
    assert.equal(read({ 'etcd-prefix': '/flag' }, environment).etcdPrefix, '/flag');
    assert.equal(read({}, environment).etcdPrefix, '/w');
    assert.equal(read({}, { ...environment, WEFT_ETCD_PREFIX: '' }).etcdPrefix, '/f');
    assert.equal(read({}, { WEFT_ETCD_PREFIX: '' }).etcdPrefix, '/coreos.com/network');
    // flannel has no --port, so its name is nobody's.
    assert.equal(read({}, { FLANNELD_PORT: '99' }).port, 8285);
  });

  const readable: [string, string | string[], keyof Config, unknown][] = [
    ['http-allowed-host', ['Weft.Svc.,b', '*.c.d'], 'allowedHosts', ['weft.svc', 'b', '*.c.d']],
    ['port', '1', 'port', 1],
    ['network', '10.1.2.3/16', 'network', { network: 0x0a010000, length: 16 }],
    ['public-ip', '192.0.2.7', 'publicAddress', 0xc0000207],
    ['iface', ['eth0,eth1', '192.0.2.1'], 'interfaces', ['eth0', 'eth1', '192.0.2.1']],
    ['iface-regex', ['a{1,2}', 'b'], 'interfacePatterns', [/a{1,2}/, /b/]],
    ['etcd-endpoints', 'http://a:1, http://b:2', 'etcdEndpoints', ['http://a:1', 'http://b:2']],
    ['dscp', 'inherit', 'dscp', -1],
    ['dscp', '63', 'dscp', 63],
    ['keep-device', 'true', 'keepDevice', true],
    ['metrics-listen', '[::1]:99', 'metricsListen', { host: '::1', port: 99 }],
    ['offload', 'udp_gso=off,tun_tso=off', 'offloads', { off: ['tun_tso', 'udp_gso'], forced: [] }],
    [
      'offload',
      ['all=off', 'udp_gro=on'],
      'offloads',
      { off: FEATURES.filter((feature) => feature !== 'udp_gro'), forced: ['udp_gro'] },
    ],
    ['offload', ['udp_gro=off', 'all=on'], 'offloads', { off: [], forced: [] }],
    ['offload', 'udp_gso=on', 'offloads', { off: [], forced: ['udp_gso'] }],
    ['offload', 'all=on', 'offloads', { off: [], forced: [] }],
    ['offload', ['udp_gso=on', 'udp_gso=off'], 'offloads', { off: ['udp_gso'], forced: [] }],
  ];
  for (const [name, text, key, value] of readable) {
    test(`--${name} ${text} is read`, () => {
      const whole = name === 'network' ? { subnet: '10.1.5.1/24' } : {};
      assert.deepEqual(read({ [name]: text, ...whole })[key], value);
    });
  }

  const refused: [string, string, RegExp][] = [
    ['port', '0', /^--port is a whole number from 1 to 65535, not '0'$/],
    ['port', '8285x', /--port/],
    ['port', '-1', /--port/],
    ['workers', '65', /from 1 to 64/],
    ['mtu', '67', /from 68/],
    ['public-ip', '10.0.0.256', /IPv4 address/],
    ['network', '10.0.0.0', /prefix/],
    ['http-allowed-host', 'weft:8286', /without port/],
    ['http-allowed-host', 'http://weft', /without port/],
    ['http-allowed-host', '*', /is a name/],
    ['dev', 'a name', /device name/],
    ['dev', 'x'.repeat(16), /at most 15/],
    ['accept', 'all', /strict, peer, any/],
    ['iface-regex', '(', /regular expression/],
    ['metrics-listen', '8286', /ADDRESS:PORT/],
    ['dscp', '64', /0 to 63/],
    ['offload', 'tun_tos=off', /did you mean tun_tso\?/],
    ['offload', 'tun_tso', /=on or =off/],
    ['offload', 'tun_tso=maybe', /=on or =off/],
    ['keep-device', 'perhaps', /true or false/],
    ['log-level', 'loud', /trace/],
  ];
  for (const [name, text, message] of refused) {
    test(`--${name} ${text} is refused`, () => {
      assert.match(faultsOf({ [name]: text }).join('\n'), message);
    });
  }

  test('contradictions are named', () => {
    assert.match(faultsOf({ network: '10.1.0.0/16' })[0]!, /--network and --subnet go together/);
    const outside = { network: '10.1.0.0/16', subnet: '10.2.0.0/24' };
    assert.match(faultsOf(outside)[0]!, /10\.2\.0\.0\/24 is outside --network 10\.1\.0\.0\/16/);
    assert.match(faultsOf({ network: '10.1.0.0/16', subnet: '10.1.0.0/31' })[0]!, /\/30/);
    const two = { leases: 'f', 'etcd-endpoints': 'http://a' };
    assert.match(faultsOf(two)[0]!, /two sources/);
    assert.match(faultsOf({ 'etcd-certfile': 'f' })[0]!, /go together/);
    const passwords = faultsOf({ 'etcd-password': 'a' }, { WEFT_ETCD_PASSWORD_FILE: 'f' });
    assert.match(passwords[0]!, /two passwords/);
  });

  test('all faults are told at once, each with where it came from', () => {
    const faults = faultsOf({ port: 'x', dscp: '99' }, { WEFT_MTU: '1', WEFT_PROT: '1' });
    assert.equal(faults.length, 4);
    assert.deepEqual(faults.map((fault) => fault.split(' ')[0]).sort(), [
      '--dscp',
      '--port',
      'WEFT_MTU',
      'WEFT_PROT',
    ]);
    assert.match(faults.find((fault) => fault.startsWith('WEFT_PROT'))!, /did you mean WEFT_PORT/);
  });

  test('what Kubernetes puts into the environment for a service called weft is no option', () => {
    const links = {
      WEFT_PORT: 'tcp://10.96.0.1:8286',
      WEFT_PORT_8286_TCP_ADDR: '10.96.0.1',
      WEFT_SERVICE_HOST: '10.96.0.1',
      WEFT_SERVICE_PORT_METRICS: '8286',
    };
    assert.equal(read({}, links).port, 8285);
  });

  test('are frozen', () => {
    const config = read({ offload: 'all=off', iface: 'eth0' }) as { port: number };
    assert.throws(() => {
      config.port = 1;
    });
    const lists = [read({ iface: 'a' }).interfaces, read({ offload: 'all=off' }).offloads.off];
    for (const list of lists) assert.ok(Object.isFrozen(list));
  });

  test('name the features that there are', () => {
    assert.deepEqual(OFFLOAD_NAMES, FEATURES);
  });

  test('have a sentence of help each', () => {
    for (const [key, row] of Object.entries(OPTIONS)) assert.ok(row.help.length > 10, key);
  });
});

describe('the nearest name', () => {
  const known = ['--port', '--subnet', '--subnet-file'];
  const cases: [string, string][] = [
    ['--prot', ': did you mean --port?'],
    ['--subnetfile', ': did you mean --subnet-file?'],
    ['--completely-else', ''],
    ['', ''],
  ];
  for (const [name, expected] of cases) {
    test(`'${name}'`, () => assert.equal(didYouMean(name, known), expected));
  }
});
