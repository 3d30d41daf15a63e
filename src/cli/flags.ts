import { Command, Option } from 'commander';
import { FLANNEL_FLAGS, type FlannelFlag } from '../config/flannel-flags.ts';
import { printText } from './format/print.ts';
import { type Column, renderTable } from './format/table.ts';

const FORMATS = ['table', 'json', 'markdown'] as const;
type Format = (typeof FORMATS)[number];

/** `weft flags --compare`: every flag of flanneld, and what weft does with it. */
export function flagsCommand(): Command {
  return new Command('flags')
    .summary('what weft does with each flag of flanneld')
    .description("Lists every flag of flanneld's, its default there, and what weft does with it.")
    .requiredOption('--compare', 'beside flanneld')
    .addOption(
      new Option('-o, --output <format>', `${FORMATS.join(', ')}`)
        .choices([...FORMATS])
        .default('table'),
    )
    .helpOption('-h, --help', 'show this help')
    .action(async ({ output }: { output: Format }) => {
      await printText(compareFlags(output));
    });
}

/** The comparison as text with a final line break. */
export function compareFlags(format: Format): string {
  if (format === 'json') return `${JSON.stringify(FLANNEL_FLAGS.map(toJson), undefined, 2)}\n`;
  return format === 'markdown' ? asMarkdown() : asTable();
}

function toJson({ name, takesValue, fallback, treatment, note }: FlannelFlag): object {
  return { flag: name, takesValue, flannelDefault: fallback, weft: treatment, note };
}

function asTable(): string {
  const columns: Column<FlannelFlag>[] = [
    { head: 'FLAG', cell: ({ name }) => `--${name}` },
    { head: 'FLANNEL DEFAULT', cell: ({ fallback }) => fallback || '-' },
    { head: 'WEFT', cell: ({ treatment }) => treatment },
    { head: 'NOTE', cell: ({ note }) => note },
  ];
  return `${renderTable(columns, FLANNEL_FLAGS, (_, text) => text).join('\n')}\n`;
}

const PAGE_HEAD = `# flanneld's flags in weft

Made by \`weft flags --compare -o markdown\`; \`-o json\` gives the same to programs.

\`weft run\` and \`weft agent\` take flanneld's command line as it is: \`-iface eth0\` and
\`--iface=eth0\` are one, a switch is turned off with \`--ip-masq=false\`. Each flag may come from
the environment as \`FLANNELD_...\`. An unknown flag is refused, with the nearest name.

| treatment | meaning |
|---|---|
| honoured | means what it means in flannel, but for what the note says |
| ignored | taken, with one line of warning where it is not at flannel's default |
| refused | weft does not start, unless it is at flannel's default |

| flag | flannel's default | weft | note |
|---|---|---|---|
`;

function asMarkdown(): string {
  const rows = FLANNEL_FLAGS.map(({ name, fallback, treatment, note }) => {
    const shown = fallback === '' ? '' : `\`${fallback}\``;
    return `| \`--${name}\` | ${shown} | ${treatment} | ${note} |\n`;
  });
  return PAGE_HEAD + rows.join('');
}
