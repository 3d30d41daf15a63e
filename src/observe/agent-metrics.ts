import { byLabel, type ReadMetric, single } from './exposition.ts';

/** What the metrics of a control agent are read from. */
export interface AgentView {
  lease(): {
    readonly lease: unknown;
    readonly secondsLeft: number | null;
    readonly reservation: boolean;
    readonly renewals: number;
    readonly failures: number;
    readonly lost: number;
  };
  /** Undefined until the network config is in. */
  backend():
    | {
        readonly type: string;
        readonly peers: number;
        readonly programmed: number;
        readonly failing: number;
        readonly reconciles: number;
        readonly lastReconcileSeconds: number;
        readonly lastReconcileDurationSeconds: number;
        readonly repairs: number;
      }
    | undefined;
  firewall():
    | { readonly inForce: boolean; readonly transactions: number; readonly repairs: number }
    | undefined;
}

/** A closed set: what a network config may name. */
const BACKENDS = ['udp', 'vxlan', 'host-gw', 'alloc'];

export function agentMetrics(view: AgentView): ReadMetric[] {
  return [...ownLeaseMetrics(view), ...backendMetrics(view), ...firewallMetrics(view)];
}

function ownLeaseMetrics(view: AgentView): ReadMetric[] {
  const read = (value: (status: ReturnType<AgentView['lease']>) => number) => () =>
    single(value(view.lease()));
  return [
    {
      name: 'weft_own_lease_held',
      help: '1 while this node holds a lease of its own',
      type: 'gauge',
      read: read((status) => Number(status.lease !== null)),
    },
    {
      name: 'weft_own_lease_reserved',
      help: '1 if the lease held has no end: a reservation',
      type: 'gauge',
      read: read((status) => Number(status.reservation)),
    },
    {
      name: 'weft_own_lease_left_seconds',
      help: 'Time until the lease runs out unless it is renewed; +Inf for a reservation',
      type: 'gauge',
      read: read(({ lease: held, secondsLeft }) =>
        held === null ? 0 : (secondsLeft ?? Number.POSITIVE_INFINITY),
      ),
    },
    {
      name: 'weft_own_lease_renewals_total',
      help: 'Times the lease was extended',
      type: 'counter',
      read: read((status) => status.renewals),
    },
    {
      name: 'weft_own_lease_failures_total',
      help: 'Tries to acquire, extend or look at the lease that failed',
      type: 'counter',
      read: read((status) => status.failures),
    },
    {
      name: 'weft_own_lease_lost_total',
      help: 'Times the lease went to somebody else, or away',
      type: 'counter',
      read: read((status) => status.lost),
    },
  ];
}

function backendMetrics(view: AgentView): ReadMetric[] {
  const read = (value: (status: NonNullable<ReturnType<AgentView['backend']>>) => number) => () => {
    const status = view.backend();
    return single(status === undefined ? 0 : value(status));
  };
  return [
    {
      name: 'weft_backend',
      help: '1 for the backend in force',
      type: 'gauge',
      read: () => {
        const now = view.backend()?.type;
        return BACKENDS.map((type) => ({ labels: { type }, value: Number(type === now) }));
      },
    },
    {
      name: 'weft_backend_peers',
      help: 'Peers by whether the kernel reaches them: programmed, failing, pending',
      type: 'gauge',
      read: () => {
        const { peers = 0, programmed = 0, failing = 0 } = view.backend() ?? {};
        const pending = Math.max(0, peers - programmed - failing);
        return byLabel('state', { programmed, failing, pending });
      },
    },
    {
      name: 'weft_backend_repairs_total',
      help: 'Entries and settings of the kernel that others changed and weft set right',
      type: 'counter',
      read: read((status) => status.repairs),
    },
    {
      name: 'weft_backend_reconciles_total',
      help: 'Looks at what the kernel has',
      type: 'counter',
      read: read((status) => status.reconciles),
    },
    {
      name: 'weft_backend_last_reconcile_timestamp_seconds',
      help: 'When the last complete look ended; 0 if never',
      type: 'gauge',
      read: read((status) => status.lastReconcileSeconds),
    },
    {
      name: 'weft_backend_last_reconcile_duration_seconds',
      help: 'How long it took',
      type: 'gauge',
      read: read((status) => status.lastReconcileDurationSeconds),
    },
  ];
}

function firewallMetrics(view: AgentView): ReadMetric[] {
  return [
    {
      name: 'weft_firewall_in_force',
      help: '1 while all rules were there at the last look',
      type: 'gauge',
      read: () => single(Number(view.firewall()?.inForce ?? false)),
    },
    {
      name: 'weft_firewall_transactions_total',
      help: 'Transactions that set the rules, repairs among them',
      type: 'counter',
      read: () => single(view.firewall()?.transactions ?? 0),
    },
    {
      name: 'weft_firewall_repairs_total',
      help: 'Times the rules were found changed or deleted, and set again',
      type: 'counter',
      read: () => single(view.firewall()?.repairs ?? 0),
    },
  ];
}
