import type { Dataplane } from '../agent/dataplane.ts';
import type { ApiView, PeerView } from '../api/view.ts';
import type { DescribedOption } from '../config/describe.ts';
import type { Config } from '../config.ts';
import { formatAddress4, formatPrefix4 } from '../wire/address.ts';

/** What makes a daemon's view beside the dataplane itself. */
export interface ViewParts {
  readonly command: string;
  readonly version: string;
  readonly config: Config;
  readonly options: readonly DescribedOption[];
}

/** The dataplane as the API sees it: live, in plain values and text. */
export function apiView(dataplane: Dataplane, parts: ViewParts): ApiView {
  const { config } = parts;
  return {
    command: parts.command,
    version: parts.version,
    accept: config.accept,
    featureNames: dataplane.featureNames,
    disabledFeatures: config.disabled,
    get counters() {
      return dataplane.counters;
    },
    get leaseSourceName() {
      return dataplane.leaseSourceName;
    },
    device: () => device(dataplane),
    underlay: () => underlay(dataplane, config),
    lease: () => ownLease(dataplane, config),
    pumps: () => dataplane.pumps(),
    tunQueueDrops: () => dataplane.tunQueueDrops(),
    leaseStatus: () => dataplane.leaseStatus(),
    leaseCounts: () => dataplane.leaseCounts(),
    refusals: (limit) => dataplane.table?.refusals(limit) ?? [],
    peers: () => peers(dataplane),
    probeOff: () => 'this weft does not probe its peers',
    notReady: () => dataplane.notReady(),
    route: (destination) => dataplane.route(destination),
    config: () => parts.options,
  };
}

function device({ tunnel, deviceUp }: Dataplane): ReturnType<ApiView['device']> {
  if (tunnel === undefined) return null;
  const { name, mtu, subnet } = tunnel.device;
  return { name, mtu, up: deviceUp, address: formatAddress4(subnet.network) };
}

function underlay(dataplane: Dataplane, { port }: Config): ReturnType<ApiView['underlay']> {
  const uplink = dataplane.tunnel?.uplink;
  if (uplink === undefined) return null;
  return {
    name: uplink.name,
    mtu: dataplane.mtu.underlay,
    address: formatAddress4(uplink.address),
    publicAddress: formatAddress4(uplink.publicAddress),
    port,
    reason: uplink.reason,
  };
}

function ownLease({ tunnel }: Dataplane, config: Config): ReturnType<ApiView['lease']> {
  if (tunnel === undefined) return null;
  const { device, uplink, sinceSeconds } = tunnel;
  return {
    network: formatPrefix4(device.network),
    subnet: formatPrefix4(device.subnet),
    publicAddress: formatAddress4(uplink.publicAddress),
    origin: config.subnet === undefined ? config.subnetFile : '--subnet',
    sinceSeconds,
    // The agent beside us holds the lease and renews it.
    renewedSeconds: null,
    expiresSeconds: null,
  };
}

function peers({ table }: Dataplane): PeerView[] {
  return (table?.leases() ?? []).map(({ subnet, publicAddress, backendType }) => ({
    subnet: formatPrefix4(subnet),
    publicAddress: formatAddress4(publicAddress),
    backendType,
  }));
}
