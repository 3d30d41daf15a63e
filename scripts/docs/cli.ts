import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { GENERATED } from './markdown.ts';
import { ROOT } from './pages.ts';

const HEAD = `${GENERATED}
# Command line

What \`--help\` says, command by command. [configuration.md](configuration.md) has the options of
the daemon as tables, with their variables of the environment.
`;

/** docs/cli.md: the help of every command as it is shown. */
export function renderCli(): string {
  const program = help([]);
  const commands = namesOf(program);
  const sections = [[], ...commands.map((name) => [name])].map((words) => {
    return `## ${['weft', ...words].join(' ')}\n\n\`\`\`text\n${help(words).trimEnd()}\n\`\`\`\n`;
  });
  return `${[HEAD, ...sections].join('\n')}`;
}

/** The commands that the help of the program lists. */
function namesOf(text: string): string[] {
  const [, list = ''] = /^Commands:\n((?: .*\n)+)/m.exec(text) ?? [];
  const names = [...list.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name]) => name!);
  return names.filter((name) => name !== 'help');
}

function help(words: readonly string[]): string {
  const argv = [join(ROOT, 'dist/src/cli.js'), ...words, '--help'];
  const environment = { PATH: process.env.PATH, NO_COLOR: '1' };
  const ran = spawnSync(process.execPath, argv, { encoding: 'utf8', env: environment });
  if (ran.status === 0) return ran.stdout;
  throw new Error(`weft ${words.join(' ')} --help ended with ${ran.status}: ${ran.stderr}`);
}
