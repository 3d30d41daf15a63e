import { FIREWALL_OPTIONS, LEASE_OPTIONS } from './lease-options.ts';
import {
  type Daemon,
  MOVERS,
  NO_NUMBER,
  NO_PREFIX,
  NO_TEXTS,
  type OptionRow,
  row,
} from './option.ts';
import { PACKET_OPTIONS } from './packet-options.ts';
import * as values from './values.ts';

export { DAEMONS, type Daemon, type OptionRow } from './option.ts';

/** Every option of every command, in the order of the help. */
export const OPTIONS = {
  subnetFile: row('--subnet-file <file>', 'Node', values.text, '/run/flannel/subnet.env', {
    help: "this node's network, subnet and MTU: an agent writes it, a dataplane waits for it",
    flannel: true,
  }),
  network: row('--network <prefix>', 'Node', values.prefix, NO_PREFIX, {
    help: "the overlay's whole network; with --subnet in place of --subnet-file",
    commands: ['dataplane'],
  }),
  subnet: row('--subnet <prefix>', 'Node', values.prefix, NO_PREFIX, {
    help: "this node's part of the network",
    commands: ['dataplane'],
  }),
  device: row('--dev <name>', 'Node', values.one(values.readDeviceName), 'flannel0', {
    help: 'name of the TUN device',
    commands: MOVERS,
  }),
  mtu: row('--mtu <bytes>', 'Node', values.integer(68, 65_507), NO_NUMBER, {
    help: 'MTU of the device',
    shown: "the underlay's less 28, or that of --subnet-file if smaller",
    commands: MOVERS,
  }),
  keepDevice: row('--keep-device', 'Node', values.flag, false, {
    help: 'leave device, address and route in place at the end',
    commands: MOVERS,
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
  interfaceCanReach: row('--iface-can-reach <address>', 'Underlay', values.address, NO_NUMBER, {
    help: 'the same by the route to that address',
    flannel: true,
  }),
  publicAddress: row('--public-ip <address>', 'Underlay', values.address, NO_NUMBER, {
    help: 'own address as peers see it, where NAT changes it',
    flannel: true,
  }),
  port: row('--port <port>', 'Underlay', values.integer(1, 65_535), 8285, {
    help: 'UDP port of every node of the overlay',
    commands: ['dataplane'],
  }),

  ...LEASE_OPTIONS,
  ...FIREWALL_OPTIONS,
  ...PACKET_OPTIONS,

  metricsListen: row<values.Listen>(
    '--metrics-listen <address:port>',
    'Running',
    values.listen,
    Object.freeze({ host: '127.0.0.1', port: 8286 }),
    { help: 'serves /metrics, /healthz, /readyz and the API under /v1', shown: '127.0.0.1:8286' },
  ),
  allowedHosts: row('--http-allowed-host <name>', 'Running', values.hostNames, NO_TEXTS, {
    help:
      'names that HTTP requests may ask for, beside addresses and localhost, such as that of a ' +
      'Kubernetes service; *.NAME for all below it; may be repeated',
    repeat: 'commas',
  }),
  apiSocket: row('--api-socket <path>', 'Running', values.text, '/run/weft/weft.sock', {
    help: 'unix socket of the API, which weft status and its kin ask; none: no socket',
  }),
  healthzAddress: row('--healthz-ip <address>', 'Running', values.host, '0.0.0.0', {
    help: "serves the same there too, where flannel's /healthz and /readyz are looked for",
    flannel: true,
  }),
  healthzPort: row('--healthz-port <port>', 'Running', values.integer(0, 65_535), 0, {
    help: 'its port; 0 is off',
    flannel: true,
  }),
  metricsPeers: row('--metrics-peers <count>', 'Running', values.integer(0, 1_000), 0, {
    commands: MOVERS,
    help: 'metrics of so many peers by name, the rest under peer="other"; 0 for none',
  }),
  probeInterval: row('--probe-interval <seconds>', 'Running', values.integer(0, 3_600), 10, {
    commands: MOVERS,
    help: 'ping each peer through the overlay that often, rarer where there are many; 0 is off',
  }),
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

/** The options that a command takes, by their key. */
export function optionsOf(daemon: Daemon): [string, OptionRow<unknown>][] {
  const all: [string, OptionRow<unknown>][] = Object.entries(OPTIONS);
  return all.filter(([, { commands }]) => commands?.includes(daemon) ?? true);
}
