import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BuildInfo } from '../../observe/metrics.ts';

/** Versions of all that decides how packets move, for the build metric. */
export function readVersions(): BuildInfo {
  return {
    version: ownVersion(),
    node: process.versions.node,
    binding: `koffi ${versionOf('koffi')}`,
    kernel: release(),
  };
}

/** weft's own, from its package. */
export function ownVersion(): string {
  return versionAbove(fileURLToPath(import.meta.url), 'weft');
}

function versionOf(name: string): string {
  try {
    return versionAbove(createRequire(import.meta.url).resolve(name), name);
  } catch {
    return 'unknown';
  }
}

/** From the nearest package.json of that name: sources and built files lie at other depths. */
function versionAbove(file: string, name: string): string {
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const text = readFileSync(join(folder, 'package.json'), 'utf8');
      const found = JSON.parse(text) as { name?: string; version?: string };
      if (found.name === name && found.version !== undefined) return found.version;
    } catch {}
  }
  return 'unknown';
}
