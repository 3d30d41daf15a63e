/** What iptables-save(8) says: tables, chains with their policies, rules as options. */

/** One `-A` line: its words behind the chain's name. */
export type SavedRule = readonly string[];

export interface SavedChain {
  readonly name: string;
  /** `ACCEPT` or `DROP`; `-` for chains of users. */
  readonly policy: string;
  readonly rules: SavedRule[];
}

/** Chains by name, by table. */
export type Saved = ReadonlyMap<string, ReadonlyMap<string, SavedChain>>;

/** Lines that are neither table, chain nor rule are passed over, as iptables-restore does. */
export function readSave(text: string): Saved {
  const tables = new Map<string, Map<string, SavedChain>>();
  let chains = new Map<string, SavedChain>();
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) {
      chains = new Map();
      tables.set(line.slice(1).trim(), chains);
    } else if (line.startsWith(':')) {
      const [name = '', policy = '-'] = line.slice(1).split(' ');
      chains.set(name, { name, policy, rules: [] });
    } else if (line.startsWith('-A ')) {
      const [, name = '', ...words] = splitWords(line);
      chains.get(name)?.rules.push(words);
    }
  }
  return tables;
}

/** Words apart by spaces, or within double quotes, where a backslash keeps the next character. */
function splitWords(line: string): string[] {
  const words = line.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
  return words.map((word) =>
    word.startsWith('"') ? word.slice(1, -1).replace(/\\(.)/g, '$1') : word,
  );
}
