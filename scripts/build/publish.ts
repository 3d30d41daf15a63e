/**
 * Puts a finished build in the place of the one before in one step, so that whoever starts weft
 * meanwhile finds one of the two, whole.
 */
import { linkSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';

/** linux/fcntl.h, linux/fs.h */
const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;

/**
 * A weft that runs from the folder loads more of its bundle later: threads after a change of the
 * underlay, what a command or a page needs. Its files stay for this long.
 */
const KEPT_MS = 24 * 3600 * 1000;

function publish(made: string, place: string): void {
  keepFormer(join(place, 'src/weft'), join(made, 'src/weft'));
  if (!exchange(made, place)) replace(made, place);
  rmSync(made, { recursive: true, force: true });
}

/** Names in the bundle say what is in them: no two of one name differ. */
function keepFormer(from: string, to: string): void {
  for (const name of list(from)) {
    const path = join(from, name);
    try {
      if (Date.now() - statSync(path).mtimeMs < KEPT_MS) linkSync(path, join(to, name));
    } catch {
      // It is in the new build too, or another build took the former one away.
    }
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** renameat2(2); false where there is nothing yet, or the file system cannot. */
function exchange(one: string, other: string): boolean {
  const call = koffi
    .load(null)
    .func('int renameat2(int, const char *, int, const char *, unsigned int)');
  return call(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) === 0;
}

/** Two steps, where one cannot be had. */
function replace(made: string, place: string): void {
  const aside = `${made}.former`;
  try {
    renameSync(place, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  renameSync(made, place);
  rmSync(aside, { recursive: true, force: true });
}

const [made, place] = process.argv.slice(2);
publish(made!, place!);
