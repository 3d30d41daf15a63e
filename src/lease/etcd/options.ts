import { statSync } from 'node:fs';
import { posix } from 'node:path';
import { LIMITS } from '../../untrusted/json.ts';
import { shown } from '../../untrusted/shown.ts';
import { SourceOptionsError } from '../source.ts';
import { type EtcdSecrets, readSecrets } from './secrets.ts';

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
  /** A file whose first line is the password. */
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

/** @throws SourceOptionsError with every fault found, none of which holds a secret. */
export function checkEtcdOptions(options: EtcdOptions): EtcdSettings {
  const faults: string[] = [];
  const secure = usesTls(options);
  const endpoints = checkEndpoints(options.endpoints, secure, faults);
  faults.push(...contradictions(options));
  const files = readSecrets(options, secure);
  faults.push(...files.faults);
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
    warnings: [...files.warnings, ...[options.keyFile, options.passwordFile].flatMap(openToOthers)],
  };
}

/**
 * Read for each line, so that renewed certificates are used.
 * @throws Error that names the files, if one cannot be read or used any more.
 */
export function readEtcdSecrets({ options, secure }: EtcdSettings): EtcdSecrets {
  const { secrets, faults } = readSecrets(options, secure);
  if (faults.length > 0) throw new Error(faults.join('; '));
  return secrets;
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
      faults.push(
        `--etcd-endpoints ${withoutUser(text)}: must be http://HOST:PORT or https://HOST:PORT`,
      );
    } else if (!isPort(target.slice(target.lastIndexOf(':') + 1))) {
      faults.push(`--etcd-endpoints ${text}: the port must be from 1 to 65535`);
    } else if (secure && scheme?.toLowerCase() === 'http') {
      // Never silently plain: whoever asks for TLS anywhere gets it everywhere or nothing at all.
      faults.push(`--etcd-endpoints ${text} is not encrypted but TLS is asked for: use https://`);
    } else {
      endpoints.push({ target, url: `${secure ? 'https' : 'http'}://${target}` });
    }
  }
  return endpoints;
}

/** What comes before the last @ may be a password, with a scheme before it or without. */
function withoutUser(text: string): string {
  return shown(text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/i, '$1…@'), 200);
}

function isPort(text: string): boolean {
  const port = Number(text);
  return port >= 1 && port <= 65_535;
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

function openToOthers(path: string | undefined): string[] {
  if (path === undefined || (statSync(path).mode & 0o077) === 0) return [];
  return [`${path} holds a secret and others may read it: chmod 600 ${path}`];
}
