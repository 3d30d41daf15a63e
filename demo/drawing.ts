/** The topology as text, one column a node; drawn from the topology itself, so it cannot disagree. */
import type { NodeSpace, Topology } from '../test/support/topology.ts';

/** Three columns and their gaps fit a terminal of 80 columns. */
const COLUMN = 24;
const GAP = '  ';

/** Lines of the drawing, as wide as there are nodes. */
export function drawTopology(topology: Topology, etcd: string): string[] {
  const { nodes } = topology;
  const columns = nodes.map(drawNode);
  const rows = columns[0]!.map((_, row) => columns.map((column) => column[row]).join(GAP));
  const width = nodes.length * COLUMN + (nodes.length - 1) * GAP.length;
  const bus = nodes.map(() => centre('╧', '═')).join('═'.repeat(GAP.length));
  const foot = `${topology.underlayAddress} (underlay)`;
  return [...rows, bus, middle(foot, width), middle(`etcd ${etcd}`, width)].map((line) =>
    line.trimEnd(),
  );
}

function drawNode({ index, address, pod }: NodeSpace): string[] {
  const inner = (text: string) => `│ ${text.padEnd(COLUMN - 4)} │`;
  const gateway = `10.244.${index}.1`;
  return [
    centre(`pod ${index}`),
    centre(pod.address),
    centre('│'),
    `┌${centre('┴', '─').slice(1, -1)}┐`,
    inner(`cni0      ${gateway}`),
    inner(`flannel0  10.244.${index}.0`),
    inner('    ⇅'),
    inner('weft dataplane'),
    inner('    ⇅ UDP 8285'),
    inner(`eth0      ${address}`),
    `└${centre('┬', '─').slice(1, -1)}┘`,
  ];
}

function centre(text: string, fill = ' '): string {
  return middle(text, COLUMN, fill);
}

function middle(text: string, width: number, fill = ' '): string {
  const left = Math.floor((width - text.length) / 2);
  return text.padStart(text.length + left, fill).padEnd(width, fill);
}
