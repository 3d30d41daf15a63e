/**
 * Every answer of the API, as data: the types of both sides, the check of the client, and the
 * reference in docs/api.md come from here. Version 1 only ever grows: members are added, none is
 * renamed or taken away. Times are Unix seconds unless named `...AgeSeconds`; a value that is not
 * known is null, never 0 and never left out.
 */
import { z } from 'zod';

const count = () => z.int().min(0);
const seconds = () => z.number().min(0);
const perSecond = () => z.number().min(0);
const direction = z.enum(['tx', 'rx']).describe('tx: pods into UDP; rx: the way back');

export const ErrorAnswer = z
  .object({
    error: z.string().describe('what is wrong, as a sentence'),
    cure: z.string().describe('what to do about it'),
  })
  .meta({ title: 'Error' });

export const Health = z
  .object({
    ready: z.boolean().describe('the node can forward; as /readyz'),
    notReady: z.array(z.string()).describe('why not, one sentence a cause'),
    alive: z.boolean().describe('every worker turns; as /healthz'),
    hanging: z.array(z.string()).describe('workers that do not'),
  })
  .meta({ title: 'Health' });

export const Device = z
  .object({
    name: z.string(),
    up: z.boolean(),
    mtu: count().describe('bytes'),
    address: z.string().describe("the subnet's first address"),
  })
  .meta({ title: 'Device' });

export const Underlay = z
  .object({
    name: z.string().describe('the interface to peers'),
    mtu: count().describe('bytes'),
    address: z.string(),
    publicAddress: z.string().describe('own address as peers see it'),
    port: count().describe('UDP port of every node'),
    reason: z.string().describe('why this interface'),
  })
  .meta({ title: 'Underlay' });

export const OwnLease = z
  .object({
    network: z.string().describe('the whole overlay'),
    subnet: z.string().describe("this node's part"),
    publicAddress: z.string(),
    origin: z.string().describe('where the node has it from'),
    sinceSeconds: seconds().describe('when this process took it up'),
    renewedSeconds: seconds().nullable().describe('last renewal, where this process renews it'),
    expiresSeconds: seconds().nullable().describe('when it ends unless renewed; null: unknown'),
    lost: z.string().nullable().describe('why nothing is carried any more; null while held'),
  })
  .meta({ title: 'OwnLease' });

export const Worker = z
  .object({
    direction,
    worker: count(),
    busyRatio: z.number().min(0).describe('share of a core in the last second'),
    cpuSeconds: seconds(),
    heartbeatAgeSeconds: seconds().describe('since it last woke; it wakes once a second'),
    socketBufferBytes: count().describe('granted by the kernel'),
  })
  .meta({ title: 'Worker' });

export const Offload = z
  .object({
    name: z.string(),
    inForce: z.boolean().describe('on every worker'),
    reason: z.string().describe('why it is off; empty while in force'),
  })
  .meta({ title: 'Offload' });

export const LeaseSource = z
  .object({
    name: z.string(),
    state: z.enum(['connecting', 'synced', 'stale']),
    reason: z.string().describe('what the trouble is; empty while synced'),
    lastSyncSeconds: seconds().nullable().describe('when leases were last known to be current'),
    resyncs: count(),
    failures: count(),
    peers: count().describe('leases that are peers'),
    refused: z.record(z.string(), count()).describe('leases that are none, by reason'),
    refusals: z
      .array(z.object({ key: z.string(), reason: z.string(), detail: z.string() }))
      .describe('the first of them'),
  })
  .meta({ title: 'LeaseSource' });

export const NetworkConfig = z
  .object({
    inForce: z
      .boolean()
      .nullable()
      .describe('the one in the store is the one that the node goes by; null: not known yet'),
    reason: z.string().describe('what the store has instead; empty while in force'),
    sinceSeconds: seconds().describe('when that was found'),
  })
  .meta({ title: 'NetworkConfig' });

export const Flow = z
  .object({
    packets: count().describe('inner packets carried'),
    bytes: count().describe('their bytes'),
    datagrams: count(),
    dropped: count().describe('the sum of all reasons'),
    packetsPerSecond: perSecond(),
    bytesPerSecond: perSecond(),
    droppedPerSecond: perSecond(),
  })
  .meta({ title: 'Flow', description: 'one direction; rates are those of the last ten seconds' });

export const Drop = z
  .object({
    direction,
    reason: z.string().describe('as the label of weft_dropped_packets_total'),
    meaning: z.string(),
    advice: z.string().describe('what to do about it; empty where nothing has to be done'),
    packets: count(),
    perSecond: perSecond(),
  })
  .meta({ title: 'Drop' });

export const Status = z
  .object({
    version: z.string().describe('of weft'),
    command: z.string().describe('dataplane, agent or run'),
    host: z.string(),
    pid: count(),
    kernel: z.string(),
    startedSeconds: seconds(),
    nowSeconds: seconds().describe("the server's clock, which ages are counted against"),
    health: Health,
    device: Device.nullable(),
    underlay: Underlay.nullable(),
    lease: OwnLease.nullable(),
    workers: z.array(Worker).describe('empty where no packets are carried'),
    offloads: z.array(Offload).describe('from the TUN to the wire'),
    leaseSource: LeaseSource,
    networkConfig: NetworkConfig.nullable().describe('null where another process reads it'),
    tx: Flow,
    rx: Flow,
    drops: z.array(Drop).describe('every reason there is, those at 0 too'),
  })
  .meta({ title: 'Status' });

const unknownCount = () => count().nullable();

export const Peer = z
  .object({
    subnet: z.string(),
    publicAddress: z.string(),
    backendType: z.string().describe('empty: udp'),
    txPackets: unknownCount().describe('to the peer'),
    txBytes: unknownCount(),
    rxPackets: unknownCount().describe('from the peer'),
    rxBytes: unknownCount(),
    txBytesPerSecond: perSecond().nullable(),
    rxBytesPerSecond: perSecond().nullable(),
    txDrops: unknownCount(),
    rxDrops: unknownCount(),
    lastSeenSeconds: seconds().nullable().describe('when a packet last came from it'),
    pathMtu: unknownCount().describe('bytes of outer packets that pass'),
    probe: z
      .object({
        roundTripMs: z.number().min(0).nullable().describe('of the last answer; null: none yet'),
        lossRatio: z.number().min(0).max(1).describe('of the last probes'),
        sent: count(),
        lastAnswerSeconds: seconds().nullable(),
      })
      .nullable()
      .describe('echo through the overlay; null where it is off or has not begun'),
  })
  .meta({ title: 'Peer' });

export const Peers = z
  .object({
    nowSeconds: seconds(),
    total: count().describe('peers there are'),
    matched: count().describe('peers that the filter lets through'),
    peers: z.array(Peer).describe('those, sorted, at most `limit`'),
    probe: z
      .object({ running: z.boolean(), reason: z.string().describe('why not; empty if running') })
      .describe('the overlay probe'),
  })
  .meta({ title: 'Peers' });

export const TraceStep = z
  .object({
    name: z.string().describe('route, device, lease, peer, path MTU, ...'),
    outcome: z
      .enum(['fine', 'warns', 'fails', 'unknown'])
      .describe('warns: some packets suffer; unknown: cannot be seen from here'),
    detail: z.string(),
    cure: z.string().describe('what to do; empty where nothing is wrong'),
  })
  .meta({ title: 'TraceStep' });

export const Trace = z
  .object({
    destination: z.string(),
    source: z.string(),
    verdict: z
      .enum(['passes', 'fails', 'unknown'])
      .describe('as far as this node can know: the far end is judged by its lease'),
    subnet: z.string().nullable().describe('of the lease that covers the destination'),
    peer: z.string().nullable().describe('its public address'),
    steps: z.array(TraceStep).describe('in the order of the way; ends with the first that fails'),
  })
  .meta({ title: 'Trace' });

export const ConfigRow = z
  .object({
    name: z.string().describe('the option without dashes'),
    value: z.string().nullable().describe('null: not set, or secret'),
    origin: z.string().describe('flag, environment, file or default'),
    secret: z.boolean().describe('set or not, its value is never shown'),
  })
  .meta({ title: 'ConfigRow' });

export const Configuration = z
  .object({ options: z.array(ConfigRow) })
  .meta({ title: 'Configuration' });

export const HistorySample = z
  .object({
    atSeconds: seconds(),
    txPackets: count(),
    txBytes: count(),
    txDrops: count(),
    rxPackets: count(),
    rxBytes: count(),
    rxDrops: count(),
  })
  .meta({ title: 'HistorySample', description: 'counters at one moment, not rates' });

export const History = z
  .object({
    everySeconds: seconds(),
    samples: z.array(HistorySample).describe('the last five minutes, oldest first'),
  })
  .meta({ title: 'History' });

export type ErrorAnswer = z.infer<typeof ErrorAnswer>;
export type Health = z.infer<typeof Health>;
export type Status = z.infer<typeof Status>;
export type Worker = z.infer<typeof Worker>;
export type Offload = z.infer<typeof Offload>;
export type Flow = z.infer<typeof Flow>;
export type Drop = z.infer<typeof Drop>;
export type Peer = z.infer<typeof Peer>;
export type Peers = z.infer<typeof Peers>;
export type Trace = z.infer<typeof Trace>;
export type TraceStep = z.infer<typeof TraceStep>;
export type ConfigRow = z.infer<typeof ConfigRow>;
export type Configuration = z.infer<typeof Configuration>;
export type History = z.infer<typeof History>;
export type HistorySample = z.infer<typeof HistorySample>;
