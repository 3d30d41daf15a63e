/** The part of the demo that breaks its cluster, and finds the fault as an operator would. */
import type { Cluster } from '../test/support/cluster.ts';
import type { CniPod } from '../test/support/cni.ts';
import { type Weft, weftPath } from '../test/support/node.ts';
import { runAside } from '../test/support/process.ts';
import { inside, type NodeSpace } from '../test/support/topology.ts';
import type { DemoFault, Look } from './faults.ts';
import type { Outcome, Screen } from './screen.ts';

/** Starts weft on every node, on the last with what the fault wants there. */
export async function startFaulty(
  cluster: Cluster,
  { options }: DemoFault,
  args: readonly string[],
): Promise<Weft[]> {
  const { nodes } = cluster;
  const first = await Promise.all(nodes.slice(0, -1).map((node) => cluster.start(node, args)));
  return [...first, await cluster.start(nodes.at(-1)!, [...args, ...options(nodes[0]!)])];
}

/** Makes the fault, shows what pods notice, and has weft say what it is. */
export async function findFault(
  screen: Screen,
  fault: DemoFault,
  parts: { cluster: Cluster; wefts: readonly Weft[]; pods: readonly CniPod[] },
): Promise<Outcome[]> {
  const { cluster, wefts, pods } = parts;
  screen.heading('The fault');
  await screen.step(fault.title, () => fault.make(cluster, wefts));
  const symptom = await fault.symptom(pods[0]!, pods.at(-1)!);
  screen.lines([`what pods notice: ${symptom.what}: ${symptom.result}`]);
  const outcomes = [{ what: 'the fault shows', result: symptom.result, good: !symptom.good }];
  for (const look of fault.looks) outcomes.push(await ask(screen, cluster.nodes, look));
  return outcomes;
}

async function ask(screen: Screen, nodes: readonly NodeSpace[], look: Look): Promise<Outcome> {
  const node = look.on === 'first' ? nodes[0]! : nodes.at(-1)!;
  const what = `weft ${look.words.join(' ')}`;
  screen.heading(`${what}     on node ${node.index}`);
  const { stdout, stderr } = await runAside(lookCommand(node, look));
  screen.lines(`${stdout}${stderr}`.trimEnd().split('\n'));
  // Long sentences are broken over lines.
  const good = look.finds.test(stdout.replace(/\s+/g, ' '));
  const result = good ? 'names the fault' : 'does not name the fault';
  return { what: `${what}, node ${node.index}`, result, good };
}

/** The look as it is typed in another terminal, while the demo is up. */
export function typedLooks({ looks }: DemoFault, nodes: readonly NodeSpace[]): string[] {
  return looks.map((look) => {
    const node = look.on === 'first' ? nodes[0]! : nodes.at(-1)!;
    return lookCommand(node, look).join(' ');
  });
}

function lookCommand({ namespace, apiSocket }: NodeSpace, { words }: Look): string[] {
  const argv = [process.execPath, weftPath, ...words, '--api-socket', apiSocket];
  return inside(namespace, argv);
}
