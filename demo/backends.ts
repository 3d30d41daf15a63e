/** What BACKEND may be, and what is different with each. */
export interface DemoBackend {
  /** The network config's; udp is what there is where it names none. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Bytes around each packet of a pod. */
  readonly overhead: number;
  /** Two lines of the drawing: what carries packets on a node, and how. */
  readonly device: string;
  readonly wire: string;
  /** Where to look with tcpdump on the underlay. */
  readonly filter: string;
}

const BACKENDS: Readonly<Record<string, DemoBackend>> = {
  udp: {
    config: { Type: 'udp', Port: 8285 },
    overhead: 28,
    device: 'flannel0',
    wire: 'UDP 8285',
    filter: 'udp port 8285',
  },
  vxlan: {
    config: { Type: 'vxlan' },
    overhead: 50,
    device: 'flannel.1',
    wire: 'VXLAN, UDP 8472',
    filter: 'udp port 8472',
  },
  'host-gw': {
    config: { Type: 'host-gw' },
    overhead: 0,
    device: '',
    wire: 'plain routes',
    filter: 'net 10.244.0.0/16',
  },
};

export function readBackend(name: string): DemoBackend {
  const found = BACKENDS[name];
  if (found !== undefined) return found;
  throw new Error(`BACKEND is ${Object.keys(BACKENDS).join(', ')}, not '${name}'`);
}
