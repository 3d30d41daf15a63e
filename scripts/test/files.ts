/** Which test files there are, and what they need. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

/** Every test file below a folder of dist, by path. */
export function findTests(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return entries
    .filter((entry) => entry.endsWith('.test.js'))
    .map((entry) => join(folder, entry))
    .sort();
}

/** Whether its tests make namespaces for the most part, which is slow and is begun first. */
export function ownsNamespaces(path: string): boolean {
  return path.includes('test/netns/');
}

const IMPORTS = /^(?:import|export)\b[^;]*?from '([^']+)';|^import '([^']+)';/gm;
/** What starts processes or threads, or opens sockets or devices. */
const IMPURE = new RegExp(
  '^node:(?:child_process|worker_threads|cluster|net|http|https|dgram)$|' +
    '^playwright|^etcd3$|^koffi$',
);

/**
 * Whether a test needs nothing but Node: neither it nor what it imports, in the tests or in src,
 * can start a process or a thread, open a socket, or make a system call of its own.
 */
export function isPure(path: string, known = new Map<string, boolean>()): boolean {
  const file = resolve(path);
  const found = known.get(file);
  if (found !== undefined) return found;
  known.set(file, true); // a ring of imports is as pure as the rest of it
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const names = [...text.matchAll(IMPORTS)].map((match) => match[1] ?? match[2]!);
  const pure = names.every((name) =>
    name.startsWith('.') ? isPure(join(dirname(file), name), known) : !IMPURE.test(name),
  );
  known.set(file, pure);
  return pure;
}

/** As a person would name it. */
export function shortName(path: string): string {
  const name = relative('dist/test', path).replace(/\.test\.js$/, '');
  return name.startsWith('..') ? path : name;
}
