/**
 * What the kernel counts of its network stack: proc(5), nstat(8). The calling thread's network
 * namespace counts, but for the softnet and neighbour counters, which are one for the machine.
 */
import { PROC_NET, readRows } from '../proc.ts';

/** Columns of /proc/net/softnet_stat (net/core/net-procfs.c): packets, then those dropped. */
const SOFTNET_DROPPED = 1;

/**
 * Every counter by nstat's name, such as `UdpInCsumErrors`, and as `softnet_dropped`,
 * `arp_cache_unresolved_discards` and so on what nstat leaves out. What cannot be read is missing.
 */
export function readNetworkCounters(): Map<string, number> {
  const counters = new Map<string, number>();
  for (const file of ['snmp', 'netstat']) addProtocols(counters, readRows(`${PROC_NET}/${file}`));
  const softnet = readRows(`${PROC_NET}/softnet_stat`);
  counters.set('softnet_dropped', sumOfColumn(softnet, SOFTNET_DROPPED));
  for (const table of ['arp_cache', 'nf_conntrack']) {
    addTable(counters, table, readRows(`${PROC_NET}/stat/${table}`));
  }
  return counters;
}

/** Pairs of lines: `Udp: InDatagrams NoPorts …`, then `Udp: 300 0 …`. */
function addProtocols(counters: Map<string, number>, rows: string[][]): void {
  for (let i = 0; i + 1 < rows.length; i += 2) {
    const [head, ...names] = rows[i]!;
    const protocol = head!.slice(0, -1);
    for (const [column, name] of names.entries()) {
      counters.set(protocol + name, Number(rows[i + 1]![column + 1]));
    }
  }
}

/** A line of names, then one a CPU of numbers in hexadecimal. */
function addTable(counters: Map<string, number>, table: string, rows: string[][]): void {
  const [names = [], ...cpus] = rows;
  for (const [column, name] of names.entries()) {
    // The one that is no count, and the same for every CPU.
    if (name !== 'entries') counters.set(`${table}_${name}`, sumOfColumn(cpus, column));
  }
}

function sumOfColumn(cpus: readonly string[][], column: number): number {
  return cpus.reduce((sum, row) => sum + Number.parseInt(row[column] ?? '0', 16), 0);
}

/** The same since it was made. */
export class CountersSince {
  private readonly before = readNetworkCounters();

  read(): ReadonlyMap<string, number> {
    const now = readNetworkCounters();
    for (const [name, count] of now) now.set(name, count - (this.before.get(name) ?? 0));
    return now;
  }
}
