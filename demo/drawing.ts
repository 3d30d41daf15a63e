/** The topology as text, one column a node; drawn from the topology itself, so it cannot disagree. */
import type { CniPod } from '../test/support/cni.ts';
import type { Topology } from '../test/support/topology.ts';
import type { DemoBackend } from './backends.ts';

/** Three columns and their gaps fit a terminal of 80 columns. */
const COLUMN = 26;
const GAP = ' ';

/** Lines of the drawing, as wide as there are nodes. */
export function drawTopology(
  topology: Topology,
  pods: readonly CniPod[],
  backend: DemoBackend,
  etcd: string,
): string[] {
  const { nodes } = topology;
  const columns = pods.map((pod) => drawNode(pod, backend));
  const rows = columns[0]!.map((_, row) => columns.map((column) => column[row]).join(GAP));
  const width = nodes.length * COLUMN + (nodes.length - 1) * GAP.length;
  const bus = nodes.map(() => centre('╧', '═')).join('═'.repeat(GAP.length));
  const foot = `${topology.underlayAddress} (underlay)`;
  return [...rows, bus, middle(foot, width), middle(`etcd ${etcd}`, width)].map((line) =>
    line.trimEnd(),
  );
}

function drawNode({ node, address }: CniPod, { device, wire }: DemoBackend): string[] {
  const inner = (text: string) => `│ ${text.padEnd(COLUMN - 4)} │`;
  const base = address.replace(/\d+$/, '');
  return [
    centre(`pod ${node.index}`),
    centre(address),
    centre('│'),
    `┌${centre('┴', '─').slice(1, -1)}┐`,
    inner(`cni0      ${base}1`),
    inner(device === '' ? '' : `${device.padEnd(10)}${base}0`),
    inner('    ⇅'),
    inner('weft run'),
    inner(`    ⇅ ${wire}`),
    inner(`eth0      ${node.address}`),
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
