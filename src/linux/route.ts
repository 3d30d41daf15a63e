import { contains, type Prefix4, parsePrefix4 } from '../wire/address.ts';
import { CommandError, ipJson, isNoDevice, type Run } from './command.ts';

/** One IPv4 route of the main table, in the words of `ip route`. */
export interface Route {
  readonly destination: string;
  /** `unicast`, `blackhole`, `unreachable`, ... */
  readonly type: string;
  readonly device?: string;
  readonly gateway?: string;
  readonly source?: string;
  readonly metric: number;
  /** Path MTU in bytes that the kernel learned or was told; absent where it knows none. */
  readonly mtu?: number;
  /** Who set it, `boot`, `kernel`, `static`; a number where iproute2 has no name for it. */
  readonly protocol: string;
  /** Taken without asking whether the gateway is on the link. */
  readonly onlink: boolean;
  /** Type of service, `0x10`; only packets marked so take the route. */
  readonly tos?: string;
  /** Whether it has several next hops, of which the first is told. */
  readonly multipath: boolean;
}

interface RouteRow {
  dst: string;
  type?: string;
  dev?: string;
  gateway?: string;
  prefsrc?: string;
  metric?: number;
  metrics?: { mtu?: number }[];
  protocol?: string;
  flags?: string[];
  tos?: string;
  nexthops?: { dev?: string; gateway?: string }[];
}

/** Routes for exactly that prefix, `10.1.0.0/16` or `default`, in the kernel's order. */
export async function listRoutes(run: Run, prefix: string): Promise<Route[]> {
  const args = ['-4', '-details', 'route', 'show', 'exact', prefix];
  return (await ipJson<RouteRow>(run, args)).map(readRoute);
}

/** Routes for that prefix and for all that lies in it. */
export async function listRoutesWithin(run: Run, prefix: string): Promise<Route[]> {
  const args = ['-4', '-details', 'route', 'show', 'root', prefix];
  return (await ipJson<RouteRow>(run, args)).map(readRoute);
}

/**
 * Routes of one device; none where there is no such device.
 * @param scope `link` leaves those to neighbours on the link, without a gateway
 */
export async function listRoutesOf(run: Run, device: string, scope = 'all'): Promise<Route[]> {
  const filter = scope === 'all' ? [] : ['scope', scope];
  const args = ['-4', '-details', 'route', 'show', 'table', 'main', 'dev', device, ...filter];
  try {
    // Rows of a listing by device do not repeat its name.
    return (await ipJson<RouteRow>(run, args)).map((row) => readRoute({ dev: device, ...row }));
  } catch (error) {
    if (isNoDevice(error)) return [];
    throw error;
  }
}

/**
 * The route that a packet to that address takes now; undefined where the kernel has none, or one
 * that leads nowhere.
 */
export async function lookUpRoute(run: Run, address: string): Promise<Route | undefined> {
  try {
    const rows = await ipJson<RouteRow>(run, ['-4', '-details', 'route', 'get', address]);
    return rows.map(readRoute)[0];
  } catch (error) {
    // ENETUNREACH for no route; EINVAL, EHOSTUNREACH and EACCES for a blackhole and its like.
    if (error instanceof CommandError && /^RTNETLINK answers: /.test(error.stderr))
      return undefined;
    throw error;
  }
}

/** What the kernel takes for the host itself, or as broadcast: types `local` and `broadcast`. */
export async function listLocalRoutes(run: Run): Promise<Route[]> {
  const args = ['-4', '-details', 'route', 'show', 'table', 'local'];
  return (await ipJson<RouteRow>(run, args)).map(readRoute);
}

/** Those of every host: `net/ipv4/fib_rules.c`. */
const RULES_OF_THE_KERNEL = /^(?:0:\s+from all lookup local|3276[67]:\s+from all lookup \w+)\s*$/;

/** Routing rules besides the kernel's own, as ip-rule(8) shows them. */
export async function listRules(run: Run): Promise<string[]> {
  const lines = (await run(['ip', '-4', 'rule', 'show'])).split('\n');
  const others = lines.filter((line) => line !== '' && !RULES_OF_THE_KERNEL.test(line));
  return others.map((line) => line.trim().replace(/\s+/g, ' '));
}

/**
 * Path MTUs in bytes that the kernel has learned, by destination: the exceptions of all routes in
 * one dump (ip-route(8), `show cache`). They run out after `net.ipv4.route.mtu_expires`.
 */
export async function listPathMtus(run: Run): Promise<ReadonlyMap<string, number>> {
  const rows = await ipJson<RouteRow>(run, ['-4', 'route', 'show', 'table', 'cache']);
  const learned = new Map<string, number>();
  for (const row of rows) {
    // Redirects are exceptions too.
    const { mtu } = mtuOf(row);
    if (mtu === undefined) continue;
    // An address may have one on each of several next hops: what passes on all of them counts.
    learned.set(row.dst, Math.min(mtu, learned.get(row.dst) ?? mtu));
  }
  return learned;
}

function readRoute(row: RouteRow): Route {
  // A multipath route names its devices one level down; the first stands for all.
  const hop = row.dev === undefined ? (row.nexthops?.[0] ?? {}) : row;
  return {
    destination: row.dst,
    type: row.type ?? 'unicast',
    ...(hop.dev === undefined ? {} : { device: hop.dev }),
    ...(hop.gateway === undefined ? {} : { gateway: hop.gateway }),
    ...(row.prefsrc === undefined ? {} : { source: row.prefsrc }),
    metric: row.metric ?? 0,
    ...mtuOf(row),
    protocol: row.protocol ?? 'boot',
    onlink: row.flags?.includes('onlink') === true,
    ...(row.tos === undefined ? {} : { tos: row.tos }),
    multipath: row.nexthops !== undefined,
  };
}

function mtuOf({ metrics = [] }: RouteRow): { mtu?: number } {
  const mtu = metrics.find((row) => row.mtu !== undefined)?.mtu;
  return mtu === undefined ? {} : { mtu };
}

/** The route as an operator would type it. */
export function describeRoute(route: Route): string {
  return [
    ...(route.type === 'unicast' ? [] : [route.type]),
    route.destination,
    ...(route.gateway === undefined ? [] : ['via', route.gateway]),
    ...(route.device === undefined ? [] : ['dev', route.device]),
    ...(route.metric === 0 ? [] : ['metric', `${route.metric}`]),
  ].join(' ');
}

/** `10.244.1.7`, `10.244.1.0/24` or `default`, as ip shows destinations. */
export function parseDestination(text: string): Prefix4 | undefined {
  if (text === 'default') return { network: 0, length: 0 };
  return parsePrefix4(text.includes('/') ? text : `${text}/32`);
}

/** Who sets routes by hand or in scripts (rtnetlink(7)); others set theirs again, and know why. */
const BY_HAND: readonly string[] = ['boot', 'static'];

/**
 * What an operator may do about a route in the overlay's way. A command is named only for a route
 * that this host does not need: never for a link's own, nor for one that leads to an address of
 * `kept`.
 * @param kept addresses, host-order uint32, that must stay reachable: own ones, peers, gateways
 */
export function cureOfRoute(route: Route, kept: Iterable<number>): string {
  const prefix = parseDestination(route.destination);
  const carries = route.type === 'unicast';
  const needed = prefix === undefined || [...kept].some((address) => contains(prefix, address));
  if (carries && (needed || route.protocol === 'kernel')) {
    return 'this host needs it, so it has to stay: give the overlay another Network';
  }
  if (carries && !BY_HAND.includes(route.protocol)) return `stop what sets it (${route.protocol})`;
  return `remove it with 'ip route delete ${describeRoute(route)}', or stop what sets it`;
}

/** Adds the device route, or leaves it as it is; scope and protocol as flannel's. */
export async function ensureDeviceRoute(run: Run, prefix: string, device: string): Promise<void> {
  const route = [prefix, 'dev', device, 'scope', 'global', 'protocol', 'boot'];
  await run(['ip', '-4', 'route', 'replace', ...route]);
}

/** Leaves a host with a blackhole route of that metric for the prefix; harmless when repeated. */
export async function ensureBlackholeRoute(
  run: Run,
  prefix: string,
  metric: number,
): Promise<void> {
  await run(['ip', '-4', 'route', 'replace', 'blackhole', prefix, 'metric', `${metric}`]);
}

/** Removes it; one that is already gone is no failure. */
export async function removeBlackholeRoute(
  run: Run,
  prefix: string,
  metric: number,
): Promise<void> {
  const routes = await listRoutes(run, prefix);
  const there = routes.some((route) => route.type === 'blackhole' && route.metric === metric);
  if (there) await run(['ip', '-4', 'route', 'delete', 'blackhole', prefix, 'metric', `${metric}`]);
}
