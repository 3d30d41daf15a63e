/**
 * Every file that options of etcd name, in every form that people have tried, made by the real
 * openssl: what cannot work is told by name before any handshake, with what was found.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { checkEtcdOptions, type EtcdOptions } from '../../../src/lease/etcd/options.ts';
import { SourceOptionsError } from '../../../src/lease/source.ts';
import { makeFolder } from '../../support/maker.ts';

let folder: string;
const at = (name: string) => join(folder, name);
const text = (name: string) => readFileSync(at(name), 'latin1');

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Labels that a table of sentences must not find by accident. */
const LABELS = ['constructor', '__proto__', 'toString', 'hasOwnProperty'];

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** NAME.crt and NAME.key, signed by `by` or by itself. */
function make(name: string, by?: string, extensions = ''): void {
  openssl('req', ...EC, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
  writeFileSync(at('ext.cnf'), `${extensions}\n`);
  const from = ['-in', `${name}.csr`, '-out', `${name}.crt`, '-extfile', 'ext.cnf'];
  const sign = by === undefined ? ['-signkey', `${name}.key`] : ['-CA', `${by}.crt`];
  const key = by === undefined ? [] : ['-CAkey', `${by}.key`, '-CAcreateserial'];
  openssl('x509', '-req', ...sign, ...key, ...from);
}

/** A CA for the year from the one January to the other. */
function makeDated(name: string, from: string, to: string): void {
  const lines = ['[ca]', 'default_ca=d', '[d]', 'database=index', 'new_certs_dir=.'];
  lines.push('rand_serial=yes', 'default_md=sha256', 'policy=p', 'x509_extensions=e');
  lines.push('[p]', 'commonName=supplied', '[e]', 'basicConstraints=critical,CA:TRUE', '');
  writeFileSync(at('ca.cnf'), lines.join('\n'));
  writeFileSync(at('index'), '');
  openssl('req', ...EC, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
  const dates = ['-startdate', `${from}0101000000Z`, '-enddate', `${to}0101000000Z`];
  const files = ['-keyfile', `${name}.key`, '-in', `${name}.csr`, '-out', `${name}.crt`];
  openssl('ca', '-batch', '-notext', '-selfsign', '-config', 'ca.cnf', ...dates, ...files);
}

function makeForms(): void {
  openssl('x509', '-in', 'ca.crt', '-outform', 'der', '-out', 'ca.der');
  openssl('x509', '-in', 'ca.crt', '-trustout', '-addtrust', 'serverAuth', '-out', 'trusted.crt');
  openssl('crl2pkcs7', '-nocrl', '-certfile', 'ca.crt', '-out', 'ca.p7b');
  openssl(
    'pkcs12',
    '-export',
    '-in',
    'node.crt',
    '-inkey',
    'node.key',
    '-passout',
    'pass:x',
    '-out',
    'node.p12',
  );
  openssl('pkey', '-in', 'node.key', '-outform', 'der', '-out', 'key.der');
  openssl('pkey', '-in', 'node.key', '-pubout', '-out', 'public.pem');
  openssl('pkey', '-in', 'node.key', '-aes128', '-passout', 'pass:x', '-out', 'encrypted.key');
  openssl('ec', '-in', 'node.key', '-aes128', '-passout', 'pass:x', '-out', 'encrypted.old.key');
  openssl('ec', '-in', 'node.key', '-out', 'sec1.key');
  writeFileSync(
    at('sec1.key'),
    [
      '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n',
      text('sec1.key'),
    ].join(''),
  );
  writeFileSync(at('chain.crt'), text('node.crt') + text('middle.crt'));
  writeFileSync(at('reversed.crt'), text('middle.crt') + text('node.crt'));
  writeFileSync(at('gap.crt'), text('node.crt') + text('ca.crt'));
  writeFileSync(at('both.pem'), text('node.crt') + text('node.key'));
  writeFileSync(at('cut.crt'), text('ca.crt').slice(0, 200));
  writeFileSync(at('damaged.crt'), text('ca.crt').replace(/\n.{20}/, `\n${'A'.repeat(20)}`));
  writeFileSync(at('second.crt'), text('ca.crt') + text('damaged.crt'));
  writeFileSync(at('damaged.key'), text('node.key').replace(/\n.{20}/, `\n${'A'.repeat(20)}`));
  writeFileSync(at('dos.crt'), text('ca.crt').replaceAll('\n', '\r\n'));
  writeFileSync(at('utf16.crt'), Buffer.from(`\ufeff${text('ca.crt')}`, 'utf16le'));
  for (const label of LABELS) {
    writeFileSync(at(label), text('ca.crt').replaceAll('CERTIFICATE', label));
  }
  writeFileSync(at('huge.crt'), text('ca.crt').repeat(3000));
}

before(() => {
  folder = makeFolder('named');
  const ca = 'basicConstraints=critical,CA:TRUE';
  make('ca', undefined, ca);
  make('middle', 'ca', ca);
  make('node', 'middle', 'basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth');
  make('server', 'ca', 'basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth');
  make('other', 'ca', 'basicConstraints=CA:FALSE');
  makeDated('old', '2020', '2021');
  makeDated('future', '2100', '2101');
  makeForms();
  writeFileSync(at('empty'), '');
  writeFileSync(at('words'), 'hello\n');
  mkdirSync(at('folder'));
  execFileSync('mkfifo', [at('pipe')]);
  writeFileSync(at('pass.two'), 'Tr0ub4dor\nsecond\n');
  writeFileSync(at('pass.blank'), ' Tr0ub4dor \n');
  writeFileSync(at('pass.none'), '\nsecond\n');
  writeFileSync(at('pass.utf16'), Buffer.from('\ufeffTr0ub4dor', 'utf16le'));
  writeFileSync(at('pass.bom'), '\ufeffTr0ub4dor\n');
  writeFileSync(at('pass.huge'), 'x'.repeat(5000));
});
after(() => rmSync(folder, { recursive: true }));

/** Every fault and every warning; `!` before the faults. */
function judge(options: Partial<EtcdOptions>): string[] {
  const whole = { endpoints: ['etcd:2379'], prefix: '/net', ...options };
  const isOfModes = (line: string) => line.includes('chmod 600') && !line.includes('openssl');
  try {
    return checkEtcdOptions(whole).warnings.filter((line) => !isOfModes(line));
  } catch (error) {
    assert.ok(error instanceof SourceOptionsError, String(error));
    return error.faults.map((fault) => `!${fault}`);
  }
}

type Row = readonly [name: string, ...expected: RegExp[]];

/** What is no regular file is nothing, whichever option names it. */
const NO_FILES: readonly Row[] = [
  ['none', /^!--etcd-\S+ \S+ cannot be read: there is none \(ENOENT\)$/],
  ['folder', /^!.* cannot be read: is a directory/],
  ['pipe', /^!.* cannot be read: is a pipe, not a regular file/],
  ['/dev/zero', /^!.* cannot be read: is a device/],
];

const AUTHORITIES: readonly Row[] = [
  ['ca.crt'],
  ['chain.crt', /certificate 1 of 2 \(CN=node\) is no CA and vouches for nobody/],
  ['both.pem', /\(CN=node\) is no CA/],
  ['dos.crt'],
  ['empty', /^!.* holds no certificate in PEM form: it is empty/],
  ['words', /^!.* it holds nothing in PEM form/],
  [
    'ca.der',
    /^!.* it is in DER form: convert it with openssl x509 -inform der -in \S+ca\.der -out/,
  ],
  ['key.der', /^!.* it is in DER form: convert it with openssl pkey/],
  ['node.p12', /^!.* perhaps a PKCS#12 archive: .*openssl pkcs12 -in \S+node\.p12/],
  ['ca.p7b', /^!.* holds no certificate but certificates as PKCS#7/],
  ['trusted.crt', /^!.* holds no certificate but a certificate in OpenSSL's own form/],
  ['node.csr', /^!.* holds no certificate but a request for a certificate/],
  ['node.key', /^!.* holds no certificate but a private key/],
  ['public.pem', /^!.* holds no certificate but a public key/],
  ['cut.crt', /^!.* is cut off: its 'CERTIFICATE' has no END line/],
  ['damaged.crt', /^!.* is damaged: certificate 1 of the 1/],
  ['second.crt', /^!.* is damaged: certificate 2 of the 2/],
  ['utf16.crt', /^!.* is text in UTF-16/],
  ...LABELS.map((label): Row => [label, new RegExp(`^!.* holds no certificate but '${label}'$`)]),
  ['huge.crt', /^!.* cannot be read: too long: \d+ bytes, where at most 1048576/],
  ['old.crt', /: the certificate \(CN=old\) expired on Jan\s+1 00:00:00 2021 GMT: renew it/],
  ['future.crt', /\(CN=future\) is not valid before Jan\s+1 00:00:00 2100 GMT/],
];

const KEYS: readonly Row[] = [
  ['node.key'],
  ['sec1.key'],
  ['both.pem'],
  ['empty', /^!.* holds no private key in PEM form: it is empty/],
  ['key.der', /^!.* it is in DER form: convert it with openssl pkey -inform der -in/],
  ['node.crt', /^!.* holds no private key but a certificate/],
  ['public.pem', /^!.* holds no private key but a public key/],
  ['encrypted.key', /^!.* is encrypted, and weft asks for no password: .*openssl pkey -in/],
  ['encrypted.old.key', /^!.* is encrypted/],
  ['damaged.key', /^!.* is damaged: its private key cannot be read/],
  ['other.key', /^!--etcd-keyfile \S+other\.key is no key for --etcd-certfile \S+chain\.crt/],
];

const CHAINS: readonly Row[] = [
  ['chain.crt'],
  ['node.crt'],
  ['both.pem'],
  ['reversed.crt', /^!--etcd-certfile .* is in the wrong order: .*number 2 of 2 in it, and must/],
  ['gap.crt', /is in the wrong order, or lacks some: certificate 2 of 2 did not sign/],
  ['ca.crt', /^!--etcd-keyfile \S+node\.key is no key for --etcd-certfile \S+ca\.crt/],
  ['ca.der', /^!--etcd-certfile .* DER form/],
];

const PASSWORDS: readonly Row[] = [
  ['pass.two'],
  ['pass.blank', /has blanks around the password/],
  ['pass.none', /^!.* has nothing in its first line, where the password must be/],
  ['empty', /^!.* has nothing in its first line/],
  ['pass.utf16', /^!.* is no text in UTF-8/],
  ['pass.bom', /^!.* begins with a byte order mark/],
  ['pass.huge', /^!.* cannot be read: too long: 5000 bytes, where at most 4096/],
];

const chain = () => ({ caFile: at('ca.crt'), certFile: at('chain.crt') });
const OPTIONS: Readonly<Record<string, [readonly Row[], (path: string) => Partial<EtcdOptions>]>> =
  {
    '--etcd-cafile': [AUTHORITIES, (caFile) => ({ caFile })],
    '--etcd-keyfile': [KEYS, (keyFile) => ({ ...chain(), keyFile })],
    '--etcd-certfile': [CHAINS, (certFile) => ({ ...chain(), keyFile: at('node.key'), certFile })],
    '--etcd-password-file': [PASSWORDS, (passwordFile) => ({ username: 'u', passwordFile })],
  };

for (const [option, [rows, optionsOf]] of Object.entries(OPTIONS)) {
  describe(option, () => {
    for (const [name, ...expected] of [...NO_FILES, ...rows]) {
      test(name, () => {
        const said = judge(optionsOf(name.startsWith('/') ? name : at(name)));
        assert.equal(said.length, expected.length, said.join('\n'));
        for (const [index, line] of said.entries()) assert.match(line, expected[index]!);
        assert.ok(said.every((line) => line.replace(/^!/, '').startsWith('--etcd-')));
        assert.ok(!said.join().includes('Tr0ub'), 'a secret');
      });
    }
  });
}

test('each file is judged, whatever is wrong with the others and with the options', () => {
  const said = judge({
    ...{ endpoints: ['http://etcd:70000'], caFile: at('ca.der'), certFile: at('node.key') },
    ...{ keyFile: at('node.crt'), passwordFile: at('pass.bom') },
  });
  const expected = [
    ...[/--etcd-endpoints http:\/\/etcd:70000/, /needs --etcd-username/, /--etcd-password-file/],
    ...[/--etcd-cafile .* DER/, /--etcd-certfile .* private key/, /--etcd-keyfile .* certificate/],
  ];
  assert.equal(said.length, expected.length, said.join('\n'));
  for (const [index, line] of said.entries()) assert.match(line, expected[index]!);
});

test('a certificate for servers alone is warned of, as etcd refuses it', () => {
  const pair = { certFile: at('server.crt'), keyFile: at('server.key') };
  const said = judge({ caFile: at('ca.crt'), ...pair });
  assert.match(said.join('\n'), /^--etcd-certfile \S+ is not for clients/);
});

test('SSL_CERT_FILE that cannot be used is told, and the roots of the system are taken', () => {
  const before = process.env.SSL_CERT_FILE;
  try {
    process.env.SSL_CERT_FILE = at('ca.der');
    const said = judge({ endpoints: ['https://etcd:2379'] });
    assert.match(said.join('\n'), /^SSL_CERT_FILE \S+ .*DER form.*; the system's roots are taken/);
    process.env.SSL_CERT_FILE = at('ca.crt');
    assert.deepEqual(judge({ endpoints: ['https://etcd:2379'] }), []);
  } finally {
    if (before === undefined) delete process.env.SSL_CERT_FILE;
    else process.env.SSL_CERT_FILE = before;
  }
});

describe('endpoints', () => {
  const SECRET = 'Correct-Horse';
  for (const endpoint of [
    `http://user:${SECRET}@etcd:2379`,
    `user:${SECRET}@etcd:2379`,
    `https://${SECRET}@etcd`,
    `${SECRET}@@etcd:2379`,
  ]) {
    test(`${endpoint.replace(SECRET, '…')}: the secret in it is not shown`, () => {
      const said = judge({ endpoints: [endpoint] });
      assert.equal(said.length, 1);
      assert.match(said[0]!, /must be http:\/\/HOST:PORT/);
      assert.ok(!said[0]!.includes(SECRET), said[0]);
    });
  }
  for (const port of ['0', '65536', '99999']) {
    test(`port ${port} is none`, () => {
      assert.match(judge({ endpoints: [`http://etcd:${port}`] })[0] ?? '', /from 1 to 65535/);
    });
  }
});
