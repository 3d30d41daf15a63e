import { readFileSoon } from '../../untrusted/file.ts';
import { LIMITS } from '../../untrusted/json.ts';
import { firstFaults, shown } from '../../untrusted/shown.ts';
import { formatPrefix4, type Prefix4, parsePrefix4, prefixContains } from '../../wire/address.ts';

/** What `subnet.env` says of this node; IPv6 lines and lines of others are passed over. */
export interface SubnetFile {
  readonly network: Prefix4;
  /** The node's own subnet, masked: the file has its first host address. */
  readonly subnet: Prefix4;
  /** What the control agent told the CNI; absent in files written by hand. */
  readonly mtu?: number;
}

/** Either the file or everything that is wrong with it. */
export type SubnetReading =
  | { readonly ok: true; readonly value: SubnetFile }
  | { readonly ok: false; readonly faults: readonly string[] };

/** What a file says; undefined where there is none, or one of something else. */
export async function readSubnetFile(path: string): Promise<SubnetFile | undefined> {
  const bytes = await readFileSoon(path, LIMITS.subnetFileBytes).catch(() => undefined);
  const reading = bytes === undefined ? undefined : parseSubnetFile(bytes.toString());
  return reading?.ok === true ? reading.value : undefined;
}

const LINE = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$/;

/**
 * Reads a `subnet.env` of flannel (or k3s, or by hand): quotes, comments, blank lines, Windows line
 * ends and lists are taken. Of a list the first subnet counts, and the network that holds it.
 */
export function parseSubnetFile(text: string): SubnetReading {
  const variables = readVariables(text);
  const faults: string[] = [];
  const networks = readPrefixes(variables, 'FLANNEL_NETWORK', faults);
  const subnet = readPrefixes(variables, 'FLANNEL_SUBNET', faults)[0];
  const mtu = readMtu(variables, faults);
  const network = networks.find((one) => subnet !== undefined && prefixContains(one, subnet));
  if (subnet !== undefined && networks.length > 0 && network === undefined) {
    const named = shown(networks.map(formatPrefix4).join(', '));
    faults.push(`FLANNEL_SUBNET ${formatPrefix4(subnet)} lies outside FLANNEL_NETWORK ${named}`);
  }
  if (subnet !== undefined && subnet.length > 30) {
    faults.push(`FLANNEL_SUBNET ${formatPrefix4(subnet)} has no room for pods: at most a /30`);
  }
  if (faults.length > 0 || network === undefined || subnet === undefined) {
    return { ok: false, faults: firstFaults(faults) };
  }
  return { ok: true, value: { network, subnet, ...(mtu === undefined ? {} : { mtu }) } };
}

function readVariables(text: string): Map<string, string> {
  const variables = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const match = LINE.exec(line);
    if (match !== null) variables.set(match[1]!, unquote(match[2]!));
  }
  return variables;
}

/** A dotenv value: in quotes as it stands, else up to a comment. */
function unquote(value: string): string {
  const quoted = /^(["'])(.*?)\1/.exec(value);
  return quoted === null ? value.replace(/\s*#.*$/, '') : quoted[2]!;
}

function readPrefixes(
  variables: ReadonlyMap<string, string>,
  name: string,
  faults: string[],
): Prefix4[] {
  const value = variables.get(name);
  if (value === undefined || value.trim() === '') {
    faults.push(`${name} is missing`);
    return [];
  }
  const words = value.split(',').map((word) => word.trim());
  // A dual-stack agent may list both families in one line.
  const own = words.filter((word) => word !== '' && !word.includes(':'));
  const bad = own.filter((word) => parsePrefix4(word) === undefined);
  for (const word of bad) faults.push(`${name} has '${shown(word)}', which is no IPv4 prefix`);
  if (own.length === 0) faults.push(`${name} has no IPv4 prefix: '${shown(value)}'`);
  return own.flatMap((word) => parsePrefix4(word) ?? []);
}

function readMtu(variables: ReadonlyMap<string, string>, faults: string[]): number | undefined {
  const value = variables.get('FLANNEL_MTU');
  if (value === undefined || value === '') return undefined;
  const mtu = /^\d{1,5}$/.test(value) ? Number(value) : 0;
  if (mtu >= 68) return mtu;
  faults.push(`FLANNEL_MTU is '${shown(value)}', not a number of bytes from 68`);
  return undefined;
}
