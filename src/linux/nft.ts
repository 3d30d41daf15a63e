/**
 * nftables through `nft -j`, in the words of libnftables-json(5): commands and listings are entries
 * of its "nftables" array. Commands go in as the one argument, for nft cannot open the socket that
 * Node gives a child as its stdin.
 */
import { assert } from '../assert.ts';
import { LIMITS, parseJson } from '../untrusted/json.ts';
import { shown } from '../untrusted/shown.ts';
import { CommandError, type Run } from './command.ts';

/** One entry: `{ table: ... }`, `{ add: { rule: ... } }`, ... */
export type NftEntry = Readonly<Record<string, unknown>>;

/**
 * Why nft did not do it: the program is `missing`, the kernel has nf_tables `unsupported`, we are
 * `forbidden` to, or it `failed` with a reason of its own. `message` names the cure.
 */
export class NftError extends Error {
  override readonly name = 'NftError';
  readonly kind: 'missing' | 'unsupported' | 'forbidden' | 'failed';

  constructor(kind: NftError['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Linux's limit for one argument is 128 KiB (MAX_ARG_STRLEN, execve(2)). */
const MAX_COMMAND_BYTES = 128 * 1024 - 1;

/**
 * Makes all the changes in one transaction, or none of them.
 * @returns the commands with the handles that the kernel gave to what they added; those of two
 *   transactions are never the same
 * @throws NftError
 */
export async function changeNft(
  run: Run,
  commands: readonly NftEntry[],
): Promise<readonly NftEntry[]> {
  const text = JSON.stringify({ nftables: commands });
  assert(Buffer.byteLength(text) <= MAX_COMMAND_BYTES, 'a transaction of nft is one argument');
  return parseListing(await nft(run, '--echo', '--handle', text));
}

/** All entries of a table; undefined where there is none of that name. @throws NftError */
export async function listTable(
  run: Run,
  family: string,
  name: string,
): Promise<readonly NftEntry[] | undefined> {
  return await listUnlessGone(run, ['table', family, name]);
}

/** A chain and its rules; undefined where there is none of that name. @throws NftError */
export async function listChain(
  run: Run,
  [family, table, name]: readonly [string, string, string],
): Promise<readonly NftEntry[] | undefined> {
  return await listUnlessGone(run, ['chain', family, table, name]);
}

/** Chains of all tables, without their rules, which may be tens of thousands. @throws NftError */
export async function listChains(run: Run): Promise<readonly NftEntry[]> {
  return parseListing(await nft(run, 'list', 'chains'));
}

async function listUnlessGone(
  run: Run,
  what: readonly string[],
): Promise<readonly NftEntry[] | undefined> {
  try {
    return parseListing(await nft(run, 'list', ...what));
  } catch (error) {
    // ENOENT in the C locale's words: nft has no exit code of its own for it.
    const gone = error instanceof NftError && /No such file or directory/.test(error.message);
    if (gone && error.kind === 'failed') return undefined;
    throw error;
  }
}

async function nft(run: Run, ...args: readonly string[]): Promise<string> {
  try {
    return await run(['nft', '-j', ...args]);
  } catch (error) {
    if (error instanceof CommandError) throw explain(error);
    throw error;
  }
}

function explain({ stderr }: CommandError): NftError {
  if (/^no program/.test(stderr)) {
    return new NftError('missing', `nftables cannot be set: ${stderr}`);
  }
  if (/Operation not permitted|Permission denied/.test(stderr)) {
    return new NftError('forbidden', 'nftables may not be set: run weft with CAP_NET_ADMIN');
  }
  if (/(?:Operation|Protocol) not supported/.test(stderr)) {
    const cure =
      "modprobe nf_tables nft_masq nft_chain_nat, or a kernel that has them: nft's words";
    return new NftError('unsupported', `nftables is missing here: ${cure}: ${stderr}`);
  }
  return new NftError('failed', `nft refused: ${stderr}`);
}

function parseListing(text: string): readonly NftEntry[] {
  const parsed = parseJson(text, LIMITS.program);
  const entries = parsed.ok ? (parsed.value as { nftables?: unknown } | null)?.nftables : undefined;
  if (!Array.isArray(entries)) {
    throw new NftError('failed', `nft does not answer in JSON: ${shown(text)}`);
  }
  return (entries as NftEntry[]).filter((entry) => !('metainfo' in entry));
}
