import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { release } from 'node:os';
import type { BuildInfo } from '../observe/metrics.ts';

/** Versions of all that decides how packets move, for `--version` and the build metric. */
export function readVersions(): BuildInfo {
  return {
    version: ownVersion(),
    node: process.versions.node,
    binding: `koffi ${versionOf('koffi')}`,
    kernel: release(),
  };
}

/** Sources lie two folders below package.json, built files three. */
function ownVersion(): string {
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const text = readFileSync(new URL(up, import.meta.url), 'utf8');
      const { name, version } = JSON.parse(text) as { name?: string; version?: string };
      if (name === 'weft' && version !== undefined) return version;
    } catch {}
  }
  return 'unknown';
}

function versionOf(name: string): string {
  const require = createRequire(import.meta.url);
  try {
    return (require(`${name}/package.json`) as { version: string }).version;
  } catch {
    return 'unknown';
  }
}
