/** The licences of the packages whose text is in the bundle, as they ask for. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const HEAD = `weft is under the Apache License 2.0. The files beside this one hold parts of these
packages, each under the licence that stands below its name.
`;

/** @param inputs paths of all that was bundled, relative to `root` */
export function writeNotices(root: string, inputs: readonly string[]): string {
  const folders = inputs.flatMap((path) => {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path);
    return match === null ? [] : [match[1]!];
  });
  return [HEAD, ...[...new Set(folders)].sort().map((folder) => notice(join(root, folder)))].join(
    `\n${'-'.repeat(99)}\n\n`,
  );
}

function notice(folder: string): string {
  const text = readFileSync(join(folder, 'package.json'), 'utf8');
  const { name, version, license } = JSON.parse(text) as Record<string, string>;
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
  const texts = files.sort().map((file) => readFileSync(join(folder, file), 'utf8').trim());
  return `${name} ${version} (${license})\n\n${texts.join('\n\n') || NO_TEXT}\n`;
}

const NO_TEXT = 'The package names its licence and brings no text of it.';
