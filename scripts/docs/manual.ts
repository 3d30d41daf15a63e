import type { Command, Option } from 'commander';
import { ENVIRONMENT_HELP } from '../../src/cli/arguments.ts';
import { EXIT_HELP } from '../../src/cli/exit.ts';
import { createProgram } from '../../src/cli/program.ts';
import { LOOK_EXIT_HELP } from '../../src/cli/show/asking.ts';

const PROGRAM = await createProgram({ environment: {}, end: () => undefined });

/** docs/man/weft.1: the manual in man(7), from the commands and tables that --help shows. */
export function renderManual(): string {
  const program = PROGRAM;
  return [
    '.\\" Written by `make docs` from the tables in src/; edit those.',
    '.TH WEFT 1 "" "weft" "User Commands"',
    '.SH NAME',
    `weft \\- ${roff(program.description())}`,
    '.SH SYNOPSIS',
    ...program.commands.flatMap(synopsis),
    '.SH DESCRIPTION',
    ...paragraph(DESCRIPTION),
    '.SH COMMANDS',
    ...program.commands.flatMap(section),
    '.SH ENVIRONMENT',
    ...verbatim(ENVIRONMENT_HELP.replace(/^Environment:\n/, '')),
    '.SH EXIT STATUS',
    'Of commands that run for long:',
    ...verbatim(EXIT_HELP.replace(/^.*\n/, '')),
    '.PP',
    'Of commands that look and end:',
    ...verbatim(LOOK_EXIT_HELP.replace(/^.*\n/, '')),
    '.SH FILES',
    ...FILES.flatMap(([path, meaning]) => item(`.I ${roff(path)}`, meaning)),
    '.SH SEE ALSO',
    '.BR ip (8),',
    '.BR nft (8),',
    '.BR tcpdump (8)',
    '',
  ].join('\n');
}

const DESCRIPTION = `weft carries packets of pods between nodes in UDP datagrams to port 8285, as
flannel's udp backend does, and shows what becomes of them. A node that runs weft and a node that
runs flanneld with the udp backend are peers in one network.`;

const FILES: readonly (readonly [path: string, meaning: string])[] = [
  ['/run/flannel/subnet.env', "the node's network, subnet and MTU, written by its agent"],
  ['/run/weft/weft.sock', 'the API that the commands ask'],
  ['/dev/net/tun', 'where the device comes from'],
];

/** A line that begins with a control character, or holds a backslash, means something to roff. */
function roff(text: string): string {
  const plain = text.replaceAll('\\', '\\e').replaceAll('-', '\\-');
  return /^[.']/.test(plain) ? `\\&${plain}` : plain;
}

const paragraph = (text: string): string[] => text.split('\n').map(roff);

const verbatim = (text: string): string[] => ['.nf', ...text.split('\n').map(roff), '.fi'];

const item = (term: string, meaning: string): string[] => ['.TP', term, ...paragraph(meaning)];

function synopsis(command: Command): string[] {
  const words = command.registeredArguments.map((argument) => {
    return argument.required ? `<${argument.name()}>` : `[${argument.name()}]`;
  });
  return [`.B weft ${roff(command.name())}`, roff(['[options]', ...words].join(' ')), '.br'];
}

function section(command: Command): string[] {
  const options = command.options.filter(({ hidden }) => !hidden);
  return [
    `.SS weft ${roff(command.name())}`,
    ...paragraph(command.description()),
    ...options.flatMap((option) => item(`.B ${roff(option.flags)}`, meaningOf(option))),
  ];
}

function meaningOf({ description, argChoices, defaultValue }: Option): string {
  const choices = argChoices === undefined ? '' : `: ${argChoices.join(', ')}`;
  const fallback = typeof defaultValue === 'string' ? ` (default: ${defaultValue})` : '';
  return `${description}${choices}${fallback}`;
}
