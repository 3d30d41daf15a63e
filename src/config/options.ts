import * as values from './values.ts';

export type OptionGroup = 'Node' | 'Underlay' | 'Leases' | 'Packets' | 'Running';

/** One option: its flag is its name, `--tx-ports` is `WEFT_TX_PORTS` in the environment. */
export interface OptionRow<Value> {
  /** As commander and the help show it: `--port <port>`. */
  readonly flags: string;
  readonly group: OptionGroup;
  readonly help: string;
  /** What the help says of the default, where it is not the value itself. */
  readonly shown?: string;
  readonly fallback: Value;
  /** Reads all texts given; a switch and a plain option get the one that counts. */
  readonly parse: (texts: readonly string[]) => Value;
  /** May be given more than once; `commas` also takes several in one text. */
  readonly repeat?: 'plain' | 'commas';
  /** flannel has the flag too: `FLANNELD_...` is read where `WEFT_...` is not set. */
  readonly flannel?: boolean;
}

const row = <Value>(
  flags: string,
  group: OptionGroup,
  parse: (texts: readonly string[]) => Value,
  fallback: Value,
  rest: Pick<OptionRow<Value>, 'help' | 'shown' | 'repeat' | 'flannel'>,
): OptionRow<Value> => ({ flags, group, parse, fallback, ...rest });

const NO_TEXTS: readonly string[] = Object.freeze([]);
/** etcd's own default; port 4001, which flannel still tries first, has been unused since 2015. */
const ETCD_ENDPOINTS: readonly string[] = Object.freeze(['http://127.0.0.1:2379']);

/** Every option of `weft dataplane`, in the order of the help. */
export const OPTIONS = {
  subnetFile: row('--subnet-file <file>', 'Node', values.text, '/run/flannel/subnet.env', {
    help: "the agent's file with this node's network, subnet and MTU; waited for if missing",
    flannel: true,
  }),
  network: row('--network <prefix>', 'Node', values.prefix, undefined, {
    help: "the overlay's whole network; with --subnet in place of --subnet-file",
  }),
  subnet: row('--subnet <prefix>', 'Node', values.prefix, undefined, {
    help: "this node's part of the network",
  }),
  device: row('--dev <name>', 'Node', values.one(values.readDeviceName), 'flannel0', {
    help: 'name of the TUN device',
  }),
  mtu: row('--mtu <bytes>', 'Node', values.integer(68, 65_507), undefined as number | undefined, {
    help: 'MTU of the device',
    shown: "the underlay's less 28, or that of --subnet-file if smaller",
  }),
  keepDevice: row('--keep-device', 'Node', values.flag, false, {
    help: 'leave device, address and route in place at the end',
  }),

  interfaces: row('--iface <interface>', 'Underlay', values.texts, NO_TEXTS, {
    help: 'interface to peers by name or address; may be repeated, the first that exists counts',
    repeat: 'commas',
    flannel: true,
    shown: 'that of the default route',
  }),
  interfacePatterns: row('--iface-regex <pattern>', 'Underlay', values.regexes, Object.freeze([]), {
    help: 'the same by a pattern over addresses, then names; may be repeated',
    repeat: 'plain',
    flannel: true,
  }),
  interfaceCanReach: row('--iface-can-reach <address>', 'Underlay', values.address, undefined, {
    help: 'the same by the route to that address',
    flannel: true,
  }),
  publicAddress: row('--public-ip <address>', 'Underlay', values.address, undefined, {
    help: 'own address as peers see it, where NAT changes it',
    flannel: true,
  }),
  port: row('--port <port>', 'Underlay', values.integer(1, 65_535), 8285, {
    help: 'UDP port of every node of the overlay',
  }),

  leases: row('--leases <file>', 'Leases', values.text, undefined as string | undefined, {
    help: 'take leases from this JSON file, re-read when it changes, instead of etcd',
  }),
  etcdEndpoints: row('--etcd-endpoints <urls>', 'Leases', values.texts, ETCD_ENDPOINTS, {
    help: 'etcd servers, separated by commas',
    repeat: 'commas',
    flannel: true,
  }),
  etcdPrefix: row('--etcd-prefix <path>', 'Leases', values.text, '/coreos.com/network', {
    help: "flannel's folder in etcd",
    flannel: true,
  }),
  etcdCaFile: row('--etcd-cafile <file>', 'Leases', values.text, undefined as string | undefined, {
    help: 'CA that etcd is checked against',
    flannel: true,
  }),
  etcdCertFile: row(
    '--etcd-certfile <file>',
    'Leases',
    values.text,
    undefined as string | undefined,
    {
      help: 'certificate shown to etcd',
      flannel: true,
    },
  ),
  etcdKeyFile: row(
    '--etcd-keyfile <file>',
    'Leases',
    values.text,
    undefined as string | undefined,
    {
      help: 'key of that certificate',
      flannel: true,
    },
  ),
  etcdUsername: row(
    '--etcd-username <name>',
    'Leases',
    values.text,
    undefined as string | undefined,
    {
      help: 'user of etcd',
      flannel: true,
    },
  ),
  etcdPassword: row(
    '--etcd-password <password>',
    'Leases',
    values.text,
    undefined as string | undefined,
    {
      help: 'its password; better given as a file or in the environment, for ps shows it',
      flannel: true,
    },
  ),
  etcdPasswordFile: row(
    '--etcd-password-file <file>',
    'Leases',
    values.text,
    undefined as string | undefined,
    { help: 'file whose first line is the password' },
  ),

  workers: row(
    '--workers <count>',
    'Packets',
    values.integer(1, 64),
    undefined as number | undefined,
    {
      help: 'threads for each direction, each with a queue or a socket of its own',
      shown: '1 up to 4 cores, 2 up to 8, 4 above',
    },
  ),
  accept: row('--accept <mode>', 'Packets', values.choice('strict', 'peer', 'any'), 'strict', {
    help:
      'whom to let in: strict, a peer whose packet fits its lease and our subnet; peer, a peer; ' +
      'any, everybody',
  }),
  timeToLive: row('--ttl <mode>', 'Packets', values.choice('keep', 'flannel'), 'keep', {
    help: "inner TTL: keep it, or lower it at both ends as flannel's proxy does",
  }),
  disabled: row('--offload <feature=on|off>', 'Packets', values.offloads, NO_TEXTS, {
    help: `switch an offload: ${values.OFFLOAD_NAMES.join(', ')}, or all; may be repeated`,
    repeat: 'commas',
    shown: 'all=on, as far as the kernel can',
  }),
  txPorts: row('--tx-ports <count>', 'Packets', values.integer(1, 16), 1, {
    help: 'source ports of each worker; more than 1 spreads flows over links and queues on the way',
  }),
  dscp: row('--dscp <value>', 'Packets', values.dscp, 0, {
    help: 'DSCP of outer packets: 0 to 63, or inherit from the inner packet',
  }),
  busyPoll: row('--busy-poll <microseconds>', 'Packets', values.integer(0, 1_000), 0, {
    help: 'poll that long before sleeping: lower latency for more CPU',
  }),

  metricsListen: row<values.Listen>(
    '--metrics-listen <address:port>',
    'Running',
    values.listen,
    Object.freeze({ host: '127.0.0.1', port: 8286 }),
    { help: 'serves /metrics, /healthz and /readyz', shown: '127.0.0.1:8286' },
  ),
  logLevel: row(
    '--log-level <level>',
    'Running',
    values.choice('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    'info',
    { help: 'trace, debug, info, warn, error, fatal or silent' },
  ),
  logFormat: row(
    '--log-format <format>',
    'Running',
    values.choice('auto', 'json', 'pretty'),
    'auto',
    {
      help: 'json, pretty, or auto: pretty on a terminal',
    },
  ),
} as const;
