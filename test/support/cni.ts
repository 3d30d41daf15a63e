/**
 * Pods by the real CNI plugins, called as a container runtime calls them: a conflist generated from
 * subnet.env (what flannel's own CNI plugin would hand on), each plugin with the result of the one
 * before, DEL in the opposite order. CNI specification 0.4.0, "Network Configuration Lists".
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { attempt } from './process.ts';
import { inside, type NodeSpace } from './topology.ts';

/** Where Debian's containernetworking-plugins puts them. */
const PLUGINS = '/usr/lib/cni';
const VERSION = '0.4.0';

interface PluginConfig {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly [member: string]: unknown;
}

/** A port of the node that leads to one of the pod. */
export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp';
}

/** One pod as the plugins made it. */
export interface CniPod {
  readonly node: NodeSpace;
  readonly namespace: string;
  readonly address: string;
  remove(): void;
}

/** Variables of a subnet.env. */
export function readSubnetFile(path: string): Record<string, string> {
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
  return Object.fromEntries(lines.map((line) => line.split('=', 2) as [string, string]));
}

/** The list that flannel's stock conflist comes to on a node with that subnet.env. */
export function conflist(node: NodeSpace, state: string): PluginConfig[] {
  const file = readSubnetFile(node.subnetFile);
  const subnet = file.FLANNEL_SUBNET!.replace(/\.\d+\//, '.0/');
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet }]],
    routes: [{ dst: file.FLANNEL_NETWORK }],
    dataDir: join(state, `n${node.index}`),
  };
  const bridge = {
    type: 'bridge',
    bridge: 'cni0',
    hairpinMode: true,
    isDefaultGateway: true,
    isGateway: true,
    ipMasq: file.FLANNEL_IPMASQ !== 'true',
    mtu: Number(file.FLANNEL_MTU),
    ipam,
  };
  return [bridge, { type: 'portmap', capabilities: { portMappings: true } }];
}

/** Attaches a namespace to the node as its pod. */
export function addPod(
  node: NodeSpace,
  namespace: string,
  state: string,
  portMappings: readonly PortMapping[] = [],
): CniPod {
  const plugins = conflist(node, state);
  const container = namespace;
  let result: { ips?: { address: string }[] } | undefined;
  const call = (command: 'ADD' | 'DEL', plugin: PluginConfig) => {
    const { capabilities, ...own } = plugin;
    const runtime = capabilities?.portMappings === true ? { runtimeConfig: { portMappings } } : {};
    const head = { cniVersion: VERSION, name: 'cbr0' };
    const input = JSON.stringify({ ...head, ...own, ...runtime, prevResult: result });
    return callPlugin(node, { command, container, namespace, type: plugin.type }, input);
  };
  for (const plugin of plugins) result = call('ADD', plugin) as typeof result;
  const address = result?.ips?.[0]?.address.split('/')[0];
  if (address === undefined) throw new Error(`no address for ${namespace}`);
  const remove = () => {
    for (const plugin of [...plugins].reverse()) call('DEL', plugin);
  };
  return { node, namespace, address, remove };
}

interface PluginCall {
  readonly command: string;
  readonly container: string;
  readonly namespace: string;
  readonly type: string;
}

function callPlugin(node: NodeSpace, call: PluginCall, input: string): unknown {
  const environment = [
    `CNI_COMMAND=${call.command}`,
    `CNI_CONTAINERID=${call.container}`,
    `CNI_NETNS=/run/netns/${call.namespace}`,
    'CNI_IFNAME=eth0',
    `CNI_PATH=${PLUGINS}`,
  ];
  const argv = inside(node.namespace, ['env', ...environment, join(PLUGINS, call.type)]);
  const ran = attempt(argv, { input });
  if (ran.status !== 0) {
    throw new Error(`${call.type} ${call.command}: ${ran.stdout}${ran.stderr}`);
  }
  return ran.stdout.trim() === '' ? undefined : JSON.parse(ran.stdout);
}
