import { OPTIONS, type OptionRow } from '../../src/config/options.ts';
import { environmentName, optionName } from '../../src/config.ts';
import { code, GENERATED, table } from './markdown.ts';

const HEAD = `${GENERATED}
# Configuration

Each option is a flag or a variable of the environment. Flags win over \`WEFT_...\`, that wins
over flannel's own name, and that over the default. An empty variable counts as not set. An unknown
option or \`WEFT_\` variable is refused, with the nearest name; all faults are told at once, with
exit code 2.
`;

const FOOT = `## Where settings come from

| what | from |
|---|---|
| network, subnet | \`--network\` and \`--subnet\`, else \`--subnet-file\`, which the agent writes |
| MTU | \`--mtu\`, else the smaller of the underlay's less 28 and \`FLANNEL_MTU\` of the file |
| underlay | \`--iface\`, \`--iface-regex\`, \`--iface-can-reach\`, else that of the default route |
| leases | \`--leases\`, else etcd under \`--etcd-prefix\` |
`;

/** docs/configuration.md: every option by group. */
export function renderConfiguration(): string {
  const rows: readonly OptionRow<unknown>[] = Object.values(OPTIONS);
  const groups = [...new Set(rows.map(({ group }) => group))];
  const sections = groups.map((group) => {
    const options = rows.filter((row) => row.group === group);
    const head = ['option', 'environment', 'meaning', 'default'];
    return `## ${group}\n\n${table(head, options.map(describe))}\n`;
  });
  return `${[HEAD, ...sections, FOOT].join('\n')}`;
}

function describe(row: OptionRow<unknown>): string[] {
  const name = optionName(row);
  const only = row.commands?.map((command) => `weft ${command}`) ?? [];
  const commands = only.length === 0 ? '' : ` (only ${only.map(code).join(', ')})`;
  const flannel = row.flannel === true ? `, ${code(environmentName(name, 'FLANNELD'))}` : '';
  const nothing = row.fallback === undefined || row.fallback === false || row.fallback === '';
  const fallback = row.shown ?? (nothing ? '' : code(String(row.fallback)));
  return [
    code(row.flags),
    `${code(environmentName(name))}${flannel}`,
    `${row.help}${commands}`,
    fallback,
  ];
}
