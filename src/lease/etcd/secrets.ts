/**
 * The files that the options of etcd name: CA, certificate, key, password. Each is judged here by
 * its own, before a handshake can fail on it in words of OpenSSL's.
 */
import { isUtf8 } from 'node:buffer';
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext, rootCertificates } from 'node:tls';
import { FileError, readFileWithin } from '../../untrusted/file.ts';
import { LIMITS } from '../../untrusted/json.ts';
import { firstFaults, shown } from '../../untrusted/shown.ts';
import type { EtcdOptions } from './options.ts';
import {
  describeBlocks,
  describeOther,
  isCertificate,
  isEncrypted,
  isKey,
  type PemBlock,
  readBlocks,
} from './pem.ts';

/** What a new line needs from files. */
export interface EtcdSecrets {
  readonly credentials?: {
    readonly rootCertificate: Buffer;
    readonly privateKey?: Buffer;
    readonly certChain?: Buffer;
  };
  readonly password?: string;
}

/** What the files hold, and everything that is wrong with them; no sentence holds a secret. */
export interface SecretsReading {
  readonly secrets: EtcdSecrets;
  readonly faults: readonly string[];
  /** What works, or may, but should not stay as it is. */
  readonly warnings: readonly string[];
}

interface Notes {
  readonly faults: string[];
  readonly warnings: string[];
}

/** A file and the option that names it, as sentences begin. */
interface Named {
  readonly option: string;
  readonly path: string;
}

const say = ({ option, path }: Named, what: string): string => {
  const space = what.startsWith(':') ? '' : ' ';
  return `${option} ${path}${space}${what.replace('-in FILE', `-in ${shellWord(path)}`)}`;
};

/** For a command that an operator may paste; NEW stays for them to name. */
function shellWord(path: string): string {
  return /^[\w./+@:-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** Reads and judges all of them. @param secure whether TLS is asked for */
export function readSecrets(options: EtcdOptions, secure: boolean): SecretsReading {
  const notes: Notes = { faults: [], warnings: [] };
  const { passwordFile } = options;
  const password =
    passwordFile === undefined ? options.password : readPassword(passwordFile, notes);
  const credentials = secure ? readCredentials(options, notes) : undefined;
  const secrets = {
    ...(credentials !== undefined && { credentials }),
    ...(password !== undefined && { password }),
  };
  return { secrets, ...notes };
}

function readPassword(path: string, notes: Notes): string | undefined {
  const file = { option: '--etcd-password-file', path };
  const bytes = readNamed(file, LIMITS.passwordBytes, notes);
  if (bytes === undefined) return undefined;
  const refuse = (what: string) => void notes.faults.push(say(file, what));
  if (!isUtf8(bytes)) return refuse('is no text in UTF-8: write the password as such');
  const [password = ''] = bytes.toString().split(/\r?\n/);
  if (password === '') return refuse('has nothing in its first line, where the password must be');
  if (/^\ufeff/.test(password)) return refuse('begins with a byte order mark: save it without');
  if (password.includes('\0')) return refuse('is no text: its first line must be the password');
  if (password.trim() !== password) {
    notes.warnings.push(say(file, 'has blanks around the password, which are taken as part of it'));
  }
  return password;
}

function readCredentials(options: EtcdOptions, notes: Notes): EtcdSecrets['credentials'] {
  const { caFile, certFile, keyFile } = options;
  const rootCertificate =
    caFile === undefined
      ? systemRoots(notes)
      : readAuthority({ option: '--etcd-cafile', path: caFile }, notes);
  const certificate =
    certFile === undefined
      ? undefined
      : readChain({ option: '--etcd-certfile', path: certFile }, notes);
  const key =
    keyFile === undefined ? undefined : readKey({ option: '--etcd-keyfile', path: keyFile }, notes);
  if (rootCertificate === undefined) return undefined;
  if (certificate === undefined || key === undefined) return { rootCertificate };
  checkPair(certificate, key, notes);
  return { rootCertificate, certChain: certificate.bytes, privateKey: key.bytes };
}

interface Chain extends Named {
  readonly bytes: Buffer;
  readonly certificates: readonly X509Certificate[];
}

function readAuthority(file: Named, notes: Notes): Buffer | undefined {
  const chain = readChain(file, notes);
  for (const [at, certificate] of chain?.certificates.entries() ?? []) {
    // One that signed itself may be trusted as it is, CA or not.
    if (certificate.ca || certificate.checkIssued(certificate)) continue;
    const which = nameOf(certificate, at, chain!.certificates.length);
    notes.warnings.push(
      say(file, `: ${which} is no CA and vouches for nobody: name the CA that signed etcd's`),
    );
  }
  return chain?.bytes;
}

/** Certificates in PEM form, all of which can be read. */
function readChain(file: Named, notes: Notes): Chain | undefined {
  const found = readPem(file, isCertificate, 'certificate', notes);
  if (found === undefined) return undefined;
  const certificates: X509Certificate[] = [];
  const warnings: string[] = [];
  for (const [at, { text }] of found.blocks.entries()) {
    try {
      const certificate = new X509Certificate(text);
      certificates.push(certificate);
      const which = nameOf(certificate, at, found.blocks.length);
      warnings.push(...datesOf(certificate).map((what) => say(file, `: ${which} ${what}`)));
    } catch {
      const which = `certificate ${at + 1} of the ${found.blocks.length} in it`;
      notes.faults.push(say(file, `is damaged: ${which} cannot be read`));
      return undefined;
    }
  }
  notes.warnings.push(...firstFaults(warnings, 5));
  return { ...file, bytes: found.bytes, certificates };
}

function nameOf({ subject }: X509Certificate, at: number, count: number): string {
  const name = shown((subject ?? '').replaceAll('\n', ', '));
  return `${count === 1 ? 'the certificate' : `certificate ${at + 1} of ${count}`} (${name})`;
}

function datesOf({ validFrom, validTo }: X509Certificate): string[] {
  const now = Date.now();
  if (Date.parse(validTo) < now) return [`expired on ${validTo}: renew it`];
  if (Date.parse(validFrom) <= now) return [];
  return [`is not valid before ${validFrom}: is this host's clock right?`];
}

interface Key extends Named {
  readonly bytes: Buffer;
  readonly key: KeyObject;
}

function readKey(file: Named, notes: Notes): Key | undefined {
  const found = readPem(file, isKey, 'private key', notes);
  const block = found?.blocks[0];
  if (found === undefined || block === undefined) return undefined;
  if (isEncrypted(block)) {
    const cure = 'weft asks for no password: write it out with openssl pkey -in FILE -out NEW';
    notes.faults.push(say(file, `is encrypted, and ${cure} (and chmod 600 NEW)`));
    return undefined;
  }
  try {
    return { ...file, bytes: found.bytes, key: createPrivateKey(block.text) };
  } catch (error) {
    const why = shown((error as Error).message);
    notes.faults.push(say(file, `is damaged: its private key cannot be read: ${why}`));
    return undefined;
  }
}

/** TLS sends the chain as it stands in the file, its own certificate first (RFC 8446 §4.4.2). */
function checkPair({ certificates, bytes: cert, ...file }: Chain, key: Key, notes: Notes): void {
  const at = certificates.findIndex((certificate) => certificate.checkPrivateKey(key.key));
  const count = certificates.length;
  if (at < 0) {
    notes.faults.push(say(key, `is no key for ${file.option} ${file.path}: it is of another pair`));
    return;
  }
  if (at > 0) {
    const which = `the certificate of ${key.option} is number ${at + 1} of ${count} in it`;
    notes.faults.push(say(file, `is in the wrong order: ${which}, and must come first`));
    return;
  }
  for (let next = 1; next < count; next++) {
    if (certificates[next - 1]!.checkIssued(certificates[next]!)) continue;
    const which = `certificate ${next + 1} of ${count} did not sign the one before it`;
    notes.warnings.push(say(file, `is in the wrong order, or lacks some: ${which}`));
    break;
  }
  const uses: readonly string[] | undefined = certificates[0]!.keyUsage;
  if (uses !== undefined && !uses.some((use) => CLIENT_USES.includes(use))) {
    notes.warnings.push(say(file, 'is not for clients (no clientAuth): etcd will refuse it'));
  }
  try {
    createSecureContext({ cert, key: key.bytes });
  } catch (error) {
    const why = shown((error as Error).message);
    notes.faults.push(say(file, `cannot be used with ${key.option} ${key.path}: ${why}`));
  }
}

/** id-kp-clientAuth and anyExtendedKeyUsage (RFC 5280 §4.2.1.12). */
const CLIENT_USES: readonly string[] = ['1.3.6.1.5.5.7.3.2', '2.5.29.37.0'];

/** Blocks of one kind, at least one of them. */
function readPem(
  file: Named,
  isWanted: (block: PemBlock) => boolean,
  what: string,
  notes: Notes,
): { bytes: Buffer; blocks: PemBlock[] } | undefined {
  const bytes = readNamed(file, LIMITS.pemBytes, notes);
  if (bytes === undefined) return undefined;
  const { blocks, cutOff } = readBlocks(bytes.toString('latin1'));
  const refuse = (why: string) => void notes.faults.push(say(file, why));
  if (cutOff !== undefined) return refuse(`is cut off: its '${shown(cutOff)}' has no END line`);
  const wanted = blocks.filter(isWanted);
  if (wanted.length > 0) return { bytes, blocks: wanted };
  if (blocks.length > 0) return refuse(`holds no ${what} but ${describeBlocks(blocks)}`);
  return refuse(`holds no ${what} in PEM form: it ${describeOther(bytes)}`);
}

function readNamed(file: Named, most: number, { faults }: Notes): Buffer | undefined {
  try {
    return readFileWithin(file.path, most);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    faults.push(say(file, `cannot be read: ${error.message}`));
    return undefined;
  }
}

/** Where distributions keep the roots they trust (Go's crypto/x509, `root_linux.go`). */
const SYSTEM_ROOTS = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

function systemRoots(notes: Notes): Buffer {
  const given = process.env.SSL_CERT_FILE ?? '';
  if (given !== '') {
    const file = { option: 'SSL_CERT_FILE', path: given };
    // A distribution's roots have expired ones among them, which do no harm.
    const own: Notes = { faults: [], warnings: [] };
    const chain = readChain(file, own);
    if (chain !== undefined) return chain.bytes;
    notes.warnings.push(...own.faults.map((fault) => `${fault}; the system's roots are taken`));
  }
  for (const path of SYSTEM_ROOTS) {
    try {
      return readFileWithin(path, LIMITS.pemBytes);
    } catch {
      // Not this distribution's place.
    }
  }
  return Buffer.from(rootCertificates.join('\n'));
}
