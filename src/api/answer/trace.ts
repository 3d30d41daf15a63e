import { contains, formatAddress4, parseAddress4, parsePrefix4 } from '../../wire/address.ts';
import type { Trace, TraceStep } from '../schema.ts';
import type { ApiView, DeviceView, OwnLeaseView, PeerView, RouteView } from '../view.ts';

/** Outer IPv4 and UDP headers (RFC 791, RFC 768). */
const ENCAPSULATION_BYTES = 28;

/** flannel's, where nothing is forwarded that would say another. */
const DEFAULT_PORT = 8285;
/** Of the leases refused: a search ends somewhere. */
const REFUSALS_SEARCHED = 10_000;

/** What the steps look at; read once, so that they agree. */
interface Scene {
  readonly view: ApiView;
  readonly destination: string;
  readonly source: string;
  readonly device: DeviceView;
  readonly lease: OwnLeaseView;
}

/**
 * Walks the way of a packet from this node as far as it can be known here, and ends at the first
 * step that fails.
 * @param destination IPv4 address as text, checked by the caller; `source` too, or undefined
 */
export async function answerTrace(
  view: ApiView,
  destination: string,
  source: string | undefined,
): Promise<Trace> {
  const [device, lease] = [view.device(), view.lease()];
  if (device === null || lease === null) {
    const why = view.notReady().join('; ') || 'no device yet';
    const step = fails('device', `weft forwards nothing: ${why}`, 'see weft status');
    return finish({ destination, source: source ?? '' }, [step], undefined);
  }
  const scene = { view, destination, source: source ?? device.address, device, lease };
  const steps: TraceStep[] = [];
  const local = await stepRoute(scene, steps);
  if (local || failed(steps)) return finish(scene, steps, undefined);
  steps.push(stepDevice(scene));
  if (!failed(steps) && lease.lost !== null) {
    steps.push(fails('own lease', `${lease.lost}: nothing is carried`, 'see weft status'));
  }
  if (!failed(steps)) steps.push(stepSource(scene));
  if (failed(steps)) return finish(scene, steps, undefined);
  const peer = stepLease(scene, steps);
  if (peer === undefined) return finish(scene, steps, undefined);
  await stepPeer(scene, peer, steps);
  if (!failed(steps)) steps.push(stepFarEnd(scene, peer));
  return finish(scene, steps, peer);
}

const step =
  (outcome: TraceStep['outcome']) =>
  (name: string, detail: string, cure = ''): TraceStep => ({ name, outcome, detail, cure });
const fine = step('fine');
const fails = step('fails');
const warns = step('warns');
const unknown = step('unknown');

const failed = (steps: readonly TraceStep[]) => steps.some(({ outcome }) => outcome === 'fails');

function finish(
  { destination, source }: Pick<Scene, 'destination' | 'source'>,
  steps: TraceStep[],
  peer: PeerView | undefined,
): Trace {
  const blind = steps.some(({ outcome }) => outcome === 'unknown');
  return {
    destination,
    source,
    verdict: failed(steps) ? 'fails' : blind ? 'unknown' : 'passes',
    subnet: peer?.subnet ?? null,
    peer: peer?.publicAddress ?? null,
    steps,
  };
}

const within = (prefix: string, address: string): boolean => {
  const [outer, inner] = [parsePrefix4(prefix), parseAddress4(address)];
  return outer !== undefined && inner !== undefined && contains(outer, inner);
};

function describe(route: RouteView | undefined): string {
  if (route === undefined) return 'the kernel has no route there';
  const via = route.gateway === undefined ? '' : ` via ${route.gateway}`;
  return `${route.type === 'unicast' ? '' : `${route.type} `}dev ${route.device ?? '?'}${via}`;
}

/** @returns whether the packet stays on this node, and weft is not on its way */
async function stepRoute(scene: Scene, steps: TraceStep[]): Promise<boolean> {
  const { view, destination, device, lease } = scene;
  const route = await view.route(destination);
  const text = `ip route get ${destination}: ${describe(route)}`;
  if (within(lease.subnet, destination) && destination !== device.address) {
    const inside = route?.device !== undefined && route.device !== device.name;
    const what = `${destination} is a pod of this node (${lease.subnet}); weft is not on its way`;
    steps.push(
      inside
        ? fine('route', `${what}: ${describe(route)}`)
        : fails('route', `${what}, but ${text}`, 'is the bridge of the pods up? ip address show'),
    );
    return true;
  }
  if (!within(lease.network, destination)) {
    const outside = `${destination} is outside the overlay ${lease.network}`;
    steps.push(fails('route', `${outside}: weft does not carry it`, `see ${text}`));
    return true;
  }
  if (route?.device === device.name) steps.push(fine('route', text));
  else {
    const cure =
      'weft doctor --only routes says what may be done about it; who set it? ip monitor route';
    steps.push(fails('route', `${text}, not dev ${device.name}`, cure));
  }
  return false;
}

function stepDevice({ device }: Scene): TraceStep {
  if (device.up) return fine('device', `${device.name} is up, MTU ${device.mtu}`);
  return fails('device', `${device.name} is down`, `ip link set ${device.name} up`);
}

function stepSource({ source, lease }: Scene): TraceStep {
  if (within(lease.subnet, source)) return fine('source', `${source} is in ${lease.subnet}`);
  return fails(
    'source',
    `${source} is outside this node's subnet ${lease.subnet}: the far end drops it as spoofed`,
    'send from a pod of this node, or keep whatever rewrites the source from doing so',
  );
}

function stepLease(scene: Scene, steps: TraceStep[]): PeerView | undefined {
  const { view, destination } = scene;
  const length = (peer: PeerView) => Number(peer.subnet.split('/')[1]);
  const covering = view.peers().filter((peer) => within(peer.subnet, destination));
  const peer = covering.sort((a, b) => length(b) - length(a))[0];
  const source = view.leaseStatus();
  const stale = source.state === 'synced' ? '' : `; leases are ${source.state}: ${source.reason}`;
  if (peer !== undefined) {
    const found = `${peer.subnet} is behind ${peer.publicAddress}${stale}`;
    const cure = stale === '' ? '' : `see to ${view.leaseSourceName}`;
    steps.push(stale === '' ? fine('lease', found) : warns('lease', found, cure));
    return peer;
  }
  const refused = view.refusals(REFUSALS_SEARCHED).find(({ key }) => {
    return within(key.split('&')[0]!.replace(/-(\d+)$/, '/$1'), destination);
  });
  const why =
    refused === undefined
      ? `no lease covers ${destination}${stale}; the sender gets net-unreachable`
      : `the lease ${refused.key} is refused: ${refused.reason} ${refused.detail}`.trim();
  const cure =
    refused === undefined
      ? `is the agent of that node running, and its lease in ${view.leaseSourceName}?`
      : 'correct that lease at its node';
  steps.push(fails('lease', why, cure));
  return undefined;
}

async function stepPeer({ view, device }: Scene, peer: PeerView, steps: TraceStep[]) {
  const underlay = view.underlay();
  const address = peer.publicAddress;
  const route = await view.route(address);
  const text = `ip route get ${address}: ${describe(route)}`;
  if (route === undefined || route.type !== 'unicast' || route.device === undefined) {
    steps.push(fails('peer', text, `the underlay needs a route to ${address}`));
    return;
  }
  if (route.device === device.name) {
    const loop = `${text}: the way to the peer leads into the tunnel itself`;
    steps.push(fails('peer', loop, `route ${address} over the underlay`));
    return;
  }
  steps.push(fine('peer', `UDP ${address}:${underlay?.port ?? DEFAULT_PORT}, ${text}`));
  const known = Math.min(...[route.mtu, peer.pathMtu].filter((mtu) => mtu !== undefined));
  const path = Number.isFinite(known) ? known : (underlay?.mtu ?? 0);
  const room = path - ENCAPSULATION_BYTES;
  if (room >= device.mtu) {
    steps.push(fine('path MTU', `${path} bytes: full packets of ${device.mtu} fit`));
  } else {
    const detail = `${path} bytes: packets over ${room} do not fit; the MTU is ${device.mtu}`;
    steps.push(warns('path MTU', detail, `--mtu ${room} here and in the pods, or mend the path`));
  }
}

function stepFarEnd({ view, source, lease }: Scene, peer: PeerView): TraceStep {
  const checks = `the peer must know ${lease.subnet} behind ${lease.publicAddress}`;
  const twin = view
    .refusals(REFUSALS_SEARCHED)
    .find(({ reason }) => reason === 'own_public_address');
  if (twin !== undefined) {
    const detail = `${checks}, but the lease ${twin.key} names the same PublicIP`;
    return warns('far end', detail, 'give each node its own address: --public-ip, --iface');
  }
  const { probe } = peer;
  if (probe === undefined || probe.sent === 0) {
    const detail = `${checks}, and take ${source}: not probed, so not known here`;
    return unknown('far end', detail, `weft ping ${probeTarget(peer)}`);
  }
  const loss = `${Math.round(probe.lossRatio * 100)} % of probes lost`;
  if (probe.lossRatio >= 1) {
    const port = view.underlay()?.port ?? DEFAULT_PORT;
    const cure = `on the peer: weft status; is UDP ${port} open to us?`;
    return fails('far end', `${loss}: ${checks}, and answer`, cure);
  }
  const roundTrip = probe.roundTripMs === null ? '' : `, ${probe.roundTripMs.toFixed(2)} ms`;
  if (probe.lossRatio > 0) return warns('far end', loss + roundTrip, 'see the underlay for loss');
  return fine('far end', `answers the probe${roundTrip}`);
}

/** The address that the peer's own device has. */
function probeTarget(peer: PeerView): string {
  const prefix = parsePrefix4(peer.subnet);
  return prefix === undefined ? peer.publicAddress : formatAddress4(prefix.network);
}
