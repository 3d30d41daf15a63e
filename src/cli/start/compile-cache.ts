import { lstatSync, mkdirSync } from 'node:fs';
import module from 'node:module';
import { userInfo } from 'node:os';
import { join } from 'node:path';

/** Node 22.1 and newer; its types are those of the oldest Node that we promise. */
interface CompileCache {
  enableCompileCache?(directory: string): unknown;
}

/** Root's is where FHS puts what programs can make anew. */
const ROOTS_FOLDER = '/var/cache/weft';

/**
 * Has V8 keep what it compiled for the next start, where this Node can
 * (https://nodejs.org/api/module.html#moduleenablecompilecachecachedir). Node's own choice is a
 * folder below /tmp, which anybody may make first, and what lies in it is run: ours belongs to this
 * user and nobody else writes there. Without such a folder weft starts without a cache.
 */
export function useCompileCache(
  { enableCompileCache }: CompileCache = module as CompileCache,
): void {
  if (enableCompileCache === undefined) return;
  try {
    const folder = cacheFolder();
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (isOursAlone(folder)) enableCompileCache(folder);
  } catch {
    // No home, a file system that is read-only or full: it is only a matter of speed.
  }
}

/** The home that the system knows, for HOME survives `sudo` and may be somebody else's. */
function cacheFolder(): string {
  const { uid, homedir } = userInfo();
  return uid === 0 ? ROOTS_FOLDER : join(homedir, '.cache', 'weft');
}

/** Whether nobody but this user may put a file there. */
export function isOursAlone(folder: string): boolean {
  const { uid, mode } = lstatSync(folder);
  const { uid: own } = userInfo();
  return uid === own && (mode & 0o170022) === 0o040000;
}
