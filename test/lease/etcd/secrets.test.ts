import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { EtcdOptions } from '../../../src/lease/etcd/options.ts';
import { createEtcdSource } from '../../../src/lease/etcd/source.ts';
import type { LeaseSource } from '../../../src/lease/source.ts';
import { SourceOptionsError } from '../../../src/lease/source.ts';
import { type Etcd, startEtcd } from '../../support/etcd.ts';
import { makeFolder } from '../../support/maker.ts';
import { waitFor } from '../../support/waitfor.ts';
import { LogBook, Mirror } from '../mirror.ts';

const KEY = '/net/subnets/10.244.2.0-24';
const VALUE = '{"PublicIP":"192.0.2.2","PublicIPv6":null}';
const PASSWORD = 'Correct-Horse-7';

let folder: string;
const at = (name: string) => join(folder, name);

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** NAME.crt and NAME.key for a CA of its own. */
function makeAuthority(name: string): void {
  const subject = ['-subj', `/CN=${name}`, '-days', '2', '-nodes'];
  const files = ['-keyout', `${name}.key`, '-out', `${name}.crt`];
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    ...files,
    ...subject,
  );
}

/** NAME.crt and NAME.key, signed by a CA made before; good for 127.0.0.1. */
function makeCertificate(name: string, authority: string): void {
  const files = ['-keyout', `${name}.key`, '-out', `${name}.csr`];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', ...key, ...files, '-subj', `/CN=${name}`);
  writeFileSync(at('san.cnf'), 'subjectAltName=IP:127.0.0.1\n');
  const sign = ['-CA', `${authority}.crt`, '-CAkey', `${authority}.key`, '-CAcreateserial'];
  const out = ['-in', `${name}.csr`, '-out', `${name}.crt`, '-days', '2', '-extfile', 'san.cnf'];
  openssl('x509', '-req', ...sign, ...out);
}

before(() => {
  folder = makeFolder('secrets');
  for (const name of ['ca', 'strangers']) makeAuthority(name);
  for (const name of ['server', 'client']) makeCertificate(name, 'ca');
  makeCertificate('stranger', 'strangers');
  writeFileSync(at('password'), `${PASSWORD}\n`, { mode: 0o600 });
});
after(() => rmSync(folder, { recursive: true }));

/** Sources opened by a test, ended after it. */
const watching: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of watching.splice(0)) await stop();
});

function watch(options: Partial<EtcdOptions>): {
  source: LeaseSource;
  mirror: Mirror;
  book: LogBook;
} {
  const [mirror, book] = [new Mirror(), new LogBook()];
  const timing = { call: 2000, backoffMost: 200 };
  const source = createEtcdSource({
    endpoints: [],
    prefix: '/net',
    timing,
    ...options,
    log: book.log,
  });
  watching.push(source.watch(mirror));
  return { source, mirror, book };
}

async function works(options: Partial<EtcdOptions>): Promise<void> {
  const { mirror, source, book } = watch(options);
  await waitFor('the lease', () => mirror.shows(new Map([['10.244.2.0-24', VALUE]])));
  await waitFor('synced', () => source.status().state === 'synced');
  assert.ok(!book.text.includes(PASSWORD));
}

/** The source waits, says why once, and hears nothing. */
async function waits(options: Partial<EtcdOptions>, reason: RegExp): Promise<void> {
  const { source, mirror, book } = watch(options);
  await waitFor('three tries', () => source.status().failures >= 3);
  assert.match(source.status().reason, reason);
  assert.equal(source.status().state, 'connecting');
  assert.equal(mirror.snapshots, 0);
  assert.equal(book.warnings().length, 1, book.text);
  assert.ok(!book.text.includes(PASSWORD) && !book.text.includes('wrong-'), book.text);
}

function faultsOf(options: Partial<EtcdOptions>): readonly string[] {
  const { log } = new LogBook();
  try {
    createEtcdSource({ endpoints: ['127.0.0.1:1'], prefix: '/net', ...options, log });
  } catch (error) {
    assert.ok(error instanceof SourceOptionsError, String(error));
    return error.faults;
  }
  return [];
}

describe('etcd behind TLS', () => {
  let etcd: Etcd;
  let endpoint: string;
  const local = () => `127.0.0.1:${etcd.members[0]!.port}`;

  before(async () => {
    etcd = await startEtcd({
      tls: { cert: at('server.crt'), key: at('server.key'), ca: at('ca.crt') },
    });
    endpoint = etcd.endpoints[0]!;
    await etcd.put(KEY, VALUE);
  });
  after(() => etcd.stop());

  test('a CA alone is enough', () => works({ endpoints: [endpoint], caFile: at('ca.crt') }));
  test('a CA makes TLS of an endpoint without a scheme', () =>
    works({ endpoints: [local()], caFile: at('ca.crt') }));
  test('a CA for a plain endpoint is refused, never plain in silence', () => {
    const [fault] = faultsOf({ endpoints: [`http://${local()}`], caFile: at('ca.crt') });
    assert.match(fault ?? '', /http:\/\/127.*not encrypted.*https/);
  });
  test('without a CA the roots of the system do not vouch for it', () =>
    waits({ endpoints: [endpoint] }, /agree on TLS.*etcd-cafile/));
  test('another CA does not either', () =>
    waits({ endpoints: [endpoint], caFile: at('strangers.crt') }, /agree on TLS/));
  test('plain words are not understood there', () =>
    waits(
      { endpoints: [`http://${local()}`] },
      /cannot be reached; if it speaks TLS, write https:/,
    ));
  test('the name must be the one in the certificate', () => {
    const port = etcd.members[0]!.port;
    return waits(
      { endpoints: [`https://localhost:${port}`], caFile: at('ca.crt') },
      /agree on TLS/,
    );
  });
});

test('etcd that asks for certificates gets one, and refuses who has none', async () => {
  const tls = { cert: at('server.crt'), key: at('server.key'), ca: at('ca.crt') };
  const ask = ['--client-cert-auth', '--trusted-ca-file', at('ca.crt')];
  const etcd = await startEtcd({
    tls,
    args: ask,
    client: { cert: at('client.crt'), key: at('client.key') },
  });
  try {
    await etcd.put(KEY, VALUE);
    const options = { endpoints: etcd.endpoints, caFile: at('ca.crt') };
    await works({ ...options, certFile: at('client.crt'), keyFile: at('client.key') });
    await waits(options, /./);
    const stranger = { certFile: at('stranger.crt'), keyFile: at('stranger.key') };
    await waits({ ...options, ...stranger }, /./);
    for (const stop of watching.splice(0)) await stop();
  } finally {
    await etcd.stop();
  }
});

describe('etcd with users', () => {
  let etcd: Etcd;
  const as = (username: string, password: string) => ({
    ...{ endpoints: etcd.endpoints, username, password },
  });

  before(async () => {
    // The least work for a hash that bcrypt knows.
    etcd = await startEtcd({ args: ['--bcrypt-cost', '4'] });
    await etcd.put(KEY, VALUE);
    for (const user of ['root:root', `reader:${PASSWORD}`, `nobody:${PASSWORD}`]) {
      await etcd.etcdctl(['user', 'add', user]);
    }
    await etcd.etcdctl(['role', 'add', 'leases']);
    await etcd.etcdctl(['role', 'grant-permission', '--prefix', 'leases', 'read', '/net/']);
    await etcd.etcdctl(['user', 'grant-role', 'reader', 'leases']);
    await etcd.etcdctl(['user', 'grant-role', 'root', 'root']);
  });
  after(() => etcd.stop());

  test('a user is welcome before there are any', () => works(as('reader', PASSWORD)));

  describe('once they are asked for', () => {
    before(async () => {
      await etcd.etcdctl(['auth', 'enable']);
    });

    test('a password lets in', () => works(as('reader', PASSWORD)));
    test('a password from a file does', () =>
      works({ endpoints: etcd.endpoints, username: 'reader', passwordFile: at('password') }));
    test('a wrong password is told from a line that is down', () =>
      waits(as('reader', 'wrong-horse'), /refuses the user or the password/));
    test('nobody at all is told so', () =>
      waits({ endpoints: etcd.endpoints }, /grant it read on the prefix/));
    test('who may not read is told so', () =>
      waits(as('nobody', PASSWORD), /grant it read on the prefix/));
    test('news reach a user too', async () => {
      const { mirror } = watch(as('reader', PASSWORD));
      await waitFor('the lease', () => mirror.snapshots === 1);
      await etcd.etcdctl(['put', '/net/subnets/10.244.3.0-24', VALUE], { user: 'root:root' });
      await waitFor('the news', () => mirror.entries.has('10.244.3.0-24'));
      await etcd.etcdctl(['del', '/net/subnets/10.244.3.0-24'], { user: 'root:root' });
    });
  });
});

describe('options for etcd', () => {
  const good: Partial<EtcdOptions>[] = [
    { endpoints: ['http://127.0.0.1:2379', '127.0.0.1:4001', 'http://etcd.example:2379/'] },
    { endpoints: ['https://[::1]:2379', '[::1]:2380'] },
    { prefix: '' },
  ];
  for (const options of good) {
    test(`${JSON.stringify(options)} is fine`, () => assert.deepEqual(faultsOf(options), []));
  }

  const faulty: readonly [what: string, options: () => Partial<EtcdOptions>, ...RegExp[]][] = [
    ['no endpoint', () => ({ endpoints: [] }), /empty/],
    ['no port', () => ({ endpoints: ['http://etcd'] }), /http:\/\/etcd: must be/],
    ['another scheme', () => ({ endpoints: ['unix:///run/etcd'] }), /must be/],
    ['a path', () => ({ endpoints: ['http://etcd:2379/v3'] }), /must be/],
    [
      'both schemes',
      () => ({ endpoints: ['http://a:1', 'https://b:1'] }),
      /http:\/\/a:1 is not enc/,
    ],
    [
      'no CA file',
      () => ({ caFile: at('none') }),
      /--etcd-cafile .*none cannot be read: there is none \(ENOENT\)/,
    ],
    [
      'a CA that is none',
      () => ({ caFile: at('ca.key') }),
      /--etcd-cafile .* no certificate but a private key/,
    ],
    ['a certificate alone', () => ({ certFile: at('client.crt') }), /go together/],
    ['a key alone', () => ({ keyFile: at('client.key') }), /go together/],
    [
      'a key for another certificate',
      () => ({ certFile: at('client.crt'), keyFile: at('server.key') }),
      /--etcd-keyfile .*server\.key is no key for .*client\.crt/,
    ],
    [
      'two passwords',
      () => ({ username: 'u', password: 'x', passwordFile: at('password') }),
      /two/,
    ],
    ['a user alone', () => ({ username: 'u' }), /--etcd-username needs/],
    ['a password alone', () => ({ password: 'x' }), /needs --etcd-username/],
    ['no password file', () => ({ username: 'u', passwordFile: at('none') }), /ENOENT/],
    [
      'many at once',
      () => ({
        endpoints: ['x', 'http://a:1'],
        caFile: at('none'),
        keyFile: at('none'),
        password: PASSWORD,
      }),
      ...[/x: must be/, /http:\/\/a:1 is not encrypted/, /go together/, /--etcd-username/],
      ...[/--etcd-cafile .*ENOENT/, /--etcd-keyfile .*ENOENT/],
    ],
  ];
  for (const [what, options, ...expected] of faulty) {
    test(`${what}: named, with the cure`, () => {
      const faults = faultsOf(options());
      assert.equal(faults.length, expected.length, faults.join('\n'));
      for (const fault of expected)
        assert.ok(
          faults.some((one) => fault.test(one)),
          faults.join(),
        );
      assert.ok(!faults.join().includes(PASSWORD));
    });
  }

  test('a password in an endpoint is not shown', () => {
    const faults = faultsOf({ endpoints: [`http://user:${PASSWORD}@etcd:2379`] });
    assert.equal(faults.length, 1);
    assert.ok(!faults.join().includes(PASSWORD));
  });

  test('a secret that others may read is warned of', async () => {
    writeFileSync(at('open'), PASSWORD, { mode: 0o644 });
    const { book } = watch({ endpoints: ['127.0.0.1:1'], username: 'u', passwordFile: at('open') });
    assert.match(book.warnings()[0] ?? '', /chmod 600 .*open/);
    assert.ok(!book.text.includes(PASSWORD));
  });

  test('so is a key, whether the group or the world may read it', () => {
    const pair = { certFile: at('client.crt'), keyFile: at('client.key') };
    const options = { endpoints: ['127.0.0.1:1'], prefix: '/net', caFile: at('ca.crt'), ...pair };
    for (const [mode, warnings] of [
      [0o600, 0],
      [0o400, 0],
      [0o640, 1],
      [0o604, 1],
    ] as const) {
      chmodSync(at('client.key'), mode);
      const { log, ...book } = new LogBook();
      createEtcdSource({ ...options, log });
      const said = book.lines.map(({ msg }) => msg);
      assert.equal(said.length, warnings, `${mode.toString(8)}: ${said}`);
      assert.ok(said.every((line) => /holds a secret.*chmod 600 .*client\.key/.test(line)));
      assert.ok(!said.join().includes('PRIVATE'));
    }
  });

  test('the prefix is cleaned like a path', () => {
    const { log } = new LogBook();
    const prefixes = ['/coreos.com/network', '/coreos.com//network/', '/coreos.com/x/../network'];
    for (const prefix of prefixes) {
      const { name } = createEtcdSource({ endpoints: ['a:1'], prefix, log });
      assert.equal(name, 'etcd http://a:1 /coreos.com/network');
    }
  });
});
