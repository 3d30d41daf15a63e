/** Who may import whom (ARCHITECTURE.md §4) as data, and the files that nobody imports. */
import { dirname, normalize } from 'node:path';
import { blankComments, type Source } from './tidy-source.ts';

export interface Room {
  /** Paths below src, a file without `.ts` or a folder; `*` is every one. */
  readonly may: readonly string[];
  readonly packages?: readonly string[];
}

/**
 * The longest path that fits a file says what it may import. Files of one folder may import each
 * other unless `may` of a file entry says less.
 */
export const ROOMS: Readonly<Record<string, Room>> = {
  assert: { may: [] },
  untrusted: { may: ['untrusted'] },
  http: { may: ['untrusted/text', 'http'] },
  log: { may: ['untrusted/text'], packages: ['pino', 'pino-pretty'] },
  config: { may: ['wire/address', 'assert', 'config'], packages: ['zod'] },
  wire: { may: ['assert', 'wire'] },
  progress: { may: ['progress'] },
  sys: { may: ['assert', 'sys'] },
  'sys/sockaddr': { may: ['assert', 'sys/constants', 'wire/address'] },
  'sys/binding': { may: ['assert', 'sys'], packages: ['koffi'] },
  offload: { may: ['wire', 'assert', 'offload'] },
  forwarding: { may: ['wire/address', 'sys/sockaddr', 'assert', 'forwarding'] },
  'forwarding/table': { may: ['sys/sockaddr', 'assert', 'forwarding/publication'] },
  'forwarding/publication': { may: ['assert', 'forwarding/table'] },
  tun: { may: ['sys', 'wire/virtio', 'assert', 'tun'] },
  systemd: { may: ['sys', 'untrusted/text', 'assert', 'systemd'] },
  udp: { may: ['sys', 'wire/address', 'assert', 'udp'] },
  dataplane: {
    may: [
      ...['wire', 'sys', 'tun', 'udp', 'offload', 'assert', 'dataplane'],
      ...['forwarding/table', 'forwarding/publication'],
    ],
  },
  'dataplane/pool': {
    may: [
      ...['log', 'assert', 'dataplane/messages', 'dataplane/counters', 'dataplane/accounts'],
      ...['dataplane/features', 'dataplane/tap', 'forwarding/publication'],
      'progress',
    ],
    packages: ['piscina', 'pino'],
  },
  lease: {
    may: ['wire/address', 'log', 'assert', 'untrusted', 'lease'],
    packages: ['etcd3', 'pino'],
  },
  linux: {
    may: ['wire/address', 'log', 'progress', 'assert', 'untrusted', 'linux'],
    packages: ['pino', 'zod'],
  },
  agent: {
    may: [
      ...['lease', 'linux', 'config', 'log', 'progress', 'wire/address', 'assert'],
      ...['untrusted', 'agent'],
      ...['forwarding/compile', 'forwarding/patch', 'forwarding/publication'],
      ...['dataplane/pool', 'dataplane/messages', 'dataplane/accounts', 'dataplane/tap/reader'],
    ],
    packages: ['pino'],
  },
  watch: {
    may: ['dataplane/counters', 'dataplane/tap/reader', 'wire', 'assert', 'watch'],
  },
  observe: {
    may: [
      ...['dataplane/counters', 'dataplane/messages', 'dataplane/pool'],
      ...['config', 'log', 'linux/holder', 'untrusted/text', 'http', 'assert', 'observe'],
    ],
    packages: ['prom-client', 'pino'],
  },
  api: {
    may: [
      ...['http', 'observe/drops', 'observe/metrics'],
      ...['observe/node-metrics', 'observe/packet-metrics', 'observe/peer-metrics'],
      ...['dataplane/counters', 'dataplane/tap/reader', 'watch', 'wire/address', 'assert', 'api'],
      ...['linux/holder', 'untrusted'],
    ],
    packages: ['zod'],
  },
  probe: { may: ['log', 'assert', 'probe', 'wire'], packages: ['pino', 'raw-socket'] },
  doctor: {
    may: [
      ...['api/schema', 'linux', 'dataplane/features'],
      ...['wire/address', 'assert', 'untrusted', 'doctor'],
    ],
  },
  page: { may: ['api/schema', 'untrusted/text', 'page'], packages: ['uplot'] },
  cli: { may: ['*'], packages: ['commander', 'pino'] },
};

export interface Import {
  readonly line: number;
  readonly from: string;
}

/** What a file imports, for types too: they tie rooms together as much as values do. */
export function imports(text: string): Import[] {
  const code = blankComments(text);
  const pattern = /\bfrom '([^']+)'|\bimport\('([^']+)'\)|^import '([^']+)'/gm;
  return [...code.matchAll(pattern)].map((match) => ({
    line: code.slice(0, match.index).split('\n').length,
    from: (match[1] ?? match[2] ?? match[3])!,
  }));
}

/** `src/tun/read.ts` → `tun/read`. */
function roomPath(path: string): string {
  return path.replace(/^src\//, '').replace(/\.ts$/, '');
}

function covers(prefix: string, path: string): boolean {
  return prefix === '*' || path === prefix || path.startsWith(`${prefix}/`);
}

export function checkImports(file: Source): string[] {
  const own = roomPath(file.path);
  const entry = Object.keys(ROOMS)
    .filter((prefix) => covers(prefix, own))
    .sort((a, b) => b.length - a.length)[0];
  if (entry === undefined) return [`${file.path}: its room is not in the import table`];
  return imports(file.text)
    .filter(({ from }) => !mayImport(ROOMS[entry]!, file.path, from))
    .map(({ line, from }) => `${file.path}:${line}: ${entry} must not import ${from}`);
}

function mayImport(room: Room, path: string, from: string): boolean {
  if (from.startsWith('node:')) return true;
  if (!from.startsWith('.')) return room.packages?.includes(from) ?? false;
  const target = roomPath(normalize(`${dirname(path)}/${from}`));
  return room.may.some((prefix) => covers(prefix, target));
}

/** Sources that no entry reaches by imports: dead, and misleading to readers. */
export function findDead(files: readonly Source[], entries: readonly string[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const alive = new Set<string>();
  const waiting = [...entries];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const file = byPath.get(path);
    if (file === undefined || alive.has(path)) continue;
    alive.add(path);
    for (const { from } of imports(file.text)) {
      if (from.startsWith('.')) waiting.push(normalize(`${dirname(path)}/${from}`));
    }
  }
  return files.filter(({ path }) => !alive.has(path)).map(({ path }) => `${path}: nobody needs it`);
}
