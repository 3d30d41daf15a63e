import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { createSecureContext, rootCertificates } from 'node:tls';
import { LIMITS } from '../../untrusted/json.ts';
import { SourceOptionsError } from '../source.ts';

/** How to reach etcd; names as flannel's flags have them. */
export interface EtcdOptions {
  /** `http://HOST:PORT`, `https://HOST:PORT`, or `HOST:PORT`, which is TLS if a CA is given. */
  readonly endpoints: readonly string[];
  /** flannel's folder, such as `/coreos.com/network`; cleaned like a path. */
  readonly prefix: string;
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** A file that holds the password; its last line end is not part of it. */
  readonly passwordFile?: string | undefined;
  readonly timing?: Partial<EtcdTiming> | undefined;
  /** Keys of leases that are read at most; for tests. */
  readonly mostLeases?: number | undefined;
}

/** All in milliseconds. */
export interface EtcdTiming {
  /** Between two pings on the line. etcd ends lines pinged more often than every 5 s. */
  readonly keepalive: number;
  /** Wait for the answer to a ping; with `keepalive` it bounds how long a dead line goes unseen. */
  readonly keepaliveTimeout: number;
  /** Longest any single call may take. */
  readonly call: number;
  /** First pause after a failure; each further one is twice as long, up to `backoffMost`. */
  readonly backoffLeast: number;
  readonly backoffMost: number;
}

const TIMING: EtcdTiming = {
  keepalive: 6000,
  keepaliveTimeout: 4000,
  call: 5000,
  backoffLeast: 100,
  backoffMost: 5000,
};

export interface EtcdEndpoint {
  readonly url: string;
  /** `HOST:PORT`, as gRPC wants it. */
  readonly target: string;
}

/** Checked options, with everything derived from them that does not change. */
export interface EtcdSettings {
  readonly endpoints: readonly EtcdEndpoint[];
  readonly secure: boolean;
  /** Folder of the leases, with the slash that keeps its siblings out. */
  readonly leaseFolder: string;
  readonly configKey: string;
  readonly timing: EtcdTiming;
  readonly mostLeases: number;
  readonly options: EtcdOptions;
  /** For logs; holds no secret. */
  readonly name: string;
  /** What works but should not stay as it is. */
  readonly warnings: readonly string[];
}

/** What a new line needs from files; read for each line, so that renewed certificates are used. */
export interface EtcdSecrets {
  readonly credentials?: {
    readonly rootCertificate: Buffer;
    readonly privateKey?: Buffer;
    readonly certChain?: Buffer;
  };
  readonly password?: string;
}

/** @throws SourceOptionsError with every fault found, none of which holds a secret. */
export function checkEtcdOptions(options: EtcdOptions): EtcdSettings {
  const faults: string[] = [];
  const secure = usesTls(options);
  const endpoints = checkEndpoints(options.endpoints, secure, faults);
  faults.push(...contradictions(options));
  if (faults.length === 0) faults.push(...fileFaults(options, secure));
  if (faults.length > 0) throw new SourceOptionsError(faults);
  const folder = posix.join(options.prefix, 'subnets');
  return {
    endpoints,
    secure,
    leaseFolder: `${folder}/`,
    configKey: posix.join(options.prefix, 'config'),
    timing: { ...TIMING, ...options.timing },
    mostLeases: options.mostLeases ?? LIMITS.leases,
    options,
    name: `etcd ${endpoints.map(({ url }) => url).join(',')} ${posix.dirname(folder)}`,
    warnings: [options.keyFile, options.passwordFile].flatMap(openToOthers),
  };
}

/** @throws Error that names the file, if one cannot be read or used any more. */
export function readEtcdSecrets({ options, secure }: EtcdSettings): EtcdSecrets {
  const { passwordFile } = options;
  const password = passwordFile === undefined ? options.password : readPassword(passwordFile);
  const credentials = secure ? readCredentials(options) : undefined;
  return {
    ...(credentials !== undefined && { credentials }),
    ...(password !== undefined && { password }),
  };
}

function usesTls({ endpoints, caFile, certFile, keyFile }: EtcdOptions): boolean {
  const asked = [caFile, certFile, keyFile].some((file) => file !== undefined);
  return asked || endpoints.some((endpoint) => /^https:/i.test(endpoint));
}

const ENDPOINT = /^(?:(https?):\/\/)?((?:\[[0-9a-f:.]+\]|[^\s:/@[\]]+):[0-9]{1,5})\/?$/i;

function checkEndpoints(
  given: readonly string[],
  secure: boolean,
  faults: string[],
): EtcdEndpoint[] {
  if (given.length === 0) faults.push('--etcd-endpoints is empty: name at least one');
  const endpoints: EtcdEndpoint[] = [];
  for (const text of given) {
    const [, scheme, target] = ENDPOINT.exec(text.trim()) ?? [];
    if (target === undefined) {
      const shown = text.replace(/\/\/.*@/, '//…@');
      faults.push(`--etcd-endpoints ${shown}: must be http://HOST:PORT or https://HOST:PORT`);
    } else if (secure && scheme?.toLowerCase() === 'http') {
      // Never silently plain: whoever asks for TLS anywhere gets it everywhere or nothing at all.
      faults.push(`--etcd-endpoints ${text} is not encrypted but TLS is asked for: use https://`);
    } else {
      endpoints.push({ target, url: `${secure ? 'https' : 'http'}://${target}` });
    }
  }
  return endpoints;
}

function contradictions(options: EtcdOptions): string[] {
  const { certFile, keyFile, username, password, passwordFile } = options;
  const faults: string[] = [];
  if ((certFile === undefined) !== (keyFile === undefined)) {
    faults.push('--etcd-certfile and --etcd-keyfile go together: give both or neither');
  }
  if (password !== undefined && passwordFile !== undefined) {
    faults.push('--etcd-password and --etcd-password-file are two passwords: give one');
  }
  const passwords = [password, passwordFile].filter((given) => given !== undefined).length;
  if (username !== undefined && passwords === 0) {
    faults.push('--etcd-username needs --etcd-password or --etcd-password-file');
  }
  if (username === undefined && passwords > 0)
    faults.push('an etcd password needs --etcd-username');
  return faults;
}

function fileFaults(options: EtcdOptions, secure: boolean): string[] {
  const reads = [
    () => options.passwordFile !== undefined && readPassword(options.passwordFile),
    () => secure && readCredentials(options),
  ];
  const faults: string[] = [];
  for (const read of reads) {
    try {
      read();
    } catch (error) {
      faults.push((error as Error).message);
    }
  }
  return faults;
}

function readPassword(path: string): string {
  return readNamed('--etcd-password-file', path)
    .toString()
    .replace(/\r?\n$/, '');
}

function readCredentials({ caFile, certFile, keyFile }: EtcdOptions) {
  const rootCertificate =
    caFile === undefined ? systemRoots() : readCertificate('--etcd-cafile', caFile);
  if (certFile === undefined || keyFile === undefined) return { rootCertificate };
  const certChain = readCertificate('--etcd-certfile', certFile);
  const privateKey = readNamed('--etcd-keyfile', keyFile);
  try {
    createSecureContext({ cert: certChain, key: privateKey });
  } catch (error) {
    const why = (error as Error).message;
    throw new Error(`--etcd-keyfile ${keyFile} is no key for --etcd-certfile ${certFile}: ${why}`);
  }
  return { rootCertificate, certChain, privateKey };
}

function readCertificate(option: string, path: string): Buffer {
  const pem = readNamed(option, path);
  try {
    new X509Certificate(pem);
  } catch {
    throw new Error(`${option} ${path} holds no certificate in PEM form`);
  }
  return pem;
}

function readNamed(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`${option} ${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
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

function systemRoots(): Buffer {
  const paths = [process.env.SSL_CERT_FILE ?? [], SYSTEM_ROOTS].flat();
  for (const path of paths) {
    try {
      return readFileSync(path);
    } catch {
      // Not this distribution's place.
    }
  }
  return Buffer.from(rootCertificates.join('\n'));
}

function openToOthers(path: string | undefined): string[] {
  if (path === undefined || (statSync(path).mode & 0o077) === 0) return [];
  return [`${path} holds a secret and others may read it: chmod 600 ${path}`];
}
