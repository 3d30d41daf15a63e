import type { PathMtuWatch } from '../agent/node/path-mtu.ts';
import type { Observed } from '../agent/observed.ts';
import type { LeaseTraffic } from '../agent/udp/peer-books.ts';
import type { ApiView, PeerView } from '../api/view.ts';
import type { DescribedOption } from '../config/describe.ts';
import type { Config } from '../config.ts';
import { FEATURES } from '../dataplane/messages.ts';
import type { OverlayProbe, ProbeDevice, Target } from '../probe/overlay.ts';
import { formatAddress4, formatPrefix4 } from '../wire/address.ts';

/** What makes a daemon's view beside the node itself. */
export interface ViewParts {
  readonly command: string;
  readonly version: string;
  readonly config: Config;
  readonly options: readonly DescribedOption[];
  readonly probe: OverlayProbe;
  readonly pathMtus: PathMtuWatch;
}

/** The node as the API sees it: live, in plain values and text. */
export function apiView(node: Observed, parts: ViewParts): ApiView {
  const { config } = parts;
  return {
    command: parts.command,
    version: parts.version,
    accept: config.accept,
    featureNames: FEATURES,
    disabledFeatures: config.offloads.off,
    get counters() {
      return node.forwarder?.counters ?? [];
    },
    get leaseSourceName() {
      return node.sourceName;
    },
    device: () => device(node),
    underlay: () => underlay(node, config),
    lease: () => ownLease(node),
    pumps: () => node.forwarder?.pumps() ?? [],
    tunQueueDrops: () => node.forwarder?.tunQueueDrops() ?? 0,
    kernelCounts: () => node.forwarder?.kernelCounts() ?? new Map(),
    leaseStatus: () => node.leaseStatus(),
    leaseCounts: () => node.leaseCounts(),
    refusals: (limit) => node.peers?.refusals(limit) ?? [],
    peers: () => peers(node, parts),
    probeOff: () => parts.probe.off(),
    notReady: () => node.notReady(),
    networkConfig: () => node.configInForce?.() ?? null,
    route: (destination) => node.route(destination),
    config: () => parts.options,
  };
}

function device({ forwarder }: Observed): ReturnType<ApiView['device']> {
  const made = forwarder?.device;
  if (forwarder === undefined || made === undefined) return null;
  const address = formatAddress4(made.subnet.network);
  return { name: made.name, mtu: made.mtu, up: forwarder.deviceUp, address };
}

/** The forwarder follows changes of it. */
function underlayMtuOf({ uplink, forwarder }: Observed): number | undefined {
  return forwarder?.mtu.underlay || uplink?.mtu;
}

function underlay(node: Observed, { port }: Config): ReturnType<ApiView['underlay']> {
  const { uplink, forwarder } = node;
  if (uplink === undefined) return null;
  return {
    name: uplink.name,
    mtu: underlayMtuOf(node) ?? uplink.mtu,
    address: formatAddress4(uplink.address),
    publicAddress: formatAddress4(uplink.publicAddress),
    port: forwarder?.port ?? port,
    reason: uplink.reason,
  };
}

function ownLease(node: Observed): ReturnType<ApiView['lease']> {
  const own = node.own();
  if (own === null) return null;
  return {
    ...own,
    network: formatPrefix4(own.network),
    subnet: formatPrefix4(own.subnet),
    publicAddress: formatAddress4(own.publicAddress),
  };
}

/** The device that probes leave by, once it is there and up. */
export function probeDevice({ forwarder }: Observed): ProbeDevice | undefined {
  const { device, deviceIndex: index, deviceUp } = forwarder ?? {};
  if (device === undefined || index === undefined || deviceUp !== true) return undefined;
  return { name: device.name, index };
}

/** Each peer's own address inside the overlay: the first of its subnet. */
export function probeTargets({ peers }: Observed): Target[] {
  return (peers?.leases() ?? []).map(({ subnet }) => {
    return { subnet: formatPrefix4(subnet), address: formatAddress4(subnet.network) };
  });
}

function peers(node: Observed, { probe, pathMtus }: ViewParts): PeerView[] {
  const { peers, forwarder } = node;
  const underlayMtu = underlayMtuOf(node);
  const leases = peers?.leases() ?? [];
  const rows = leases.map(({ subnet, publicAddress: peer }) => ({ ...subnet, peer }));
  const traffic = forwarder?.traffic(rows);
  return leases.map(({ subnet: prefix, publicAddress, backendType }, index) => {
    const subnet = formatPrefix4(prefix);
    const probed = probe.of(subnet);
    const address = formatAddress4(publicAddress);
    const pathMtu = pathMtus.of(address, underlayMtu);
    return {
      subnet,
      publicAddress: address,
      backendType,
      ...trafficOf(traffic?.[index]),
      ...(pathMtu === undefined ? {} : { pathMtu }),
      ...(probed === undefined ? {} : { probe: probed }),
    };
  });
}

/** A peer that was never heard was not heard in 1970. */
function trafficOf(traffic: LeaseTraffic | undefined): Partial<PeerView> {
  if (traffic === undefined) return {};
  const { lastSeenSeconds, ...counts } = traffic;
  return lastSeenSeconds === 0 ? counts : { ...counts, lastSeenSeconds };
}
