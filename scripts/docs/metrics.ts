import { NO_LEASE_STATUS } from '../../src/lease/registry.ts';
import { type AgentView, agentMetrics } from '../../src/observe/agent-metrics.ts';
import { DROP_REASONS } from '../../src/observe/drops/advice.ts';
import { LOSS_PLACES } from '../../src/observe/drops/kernel.ts';
import type { ReadMetric } from '../../src/observe/exposition.ts';
import { type MetricSection, metricSections } from '../../src/observe/metrics.ts';
import { BusyRatios } from '../../src/observe/node-metrics.ts';
import { metricsView, peersOf } from '../../test/support/metrics-view.ts';
import { code, GENERATED, table } from './markdown.ts';

const HEAD = `${GENERATED}
# Metrics and health

weft serves these paths on \`--metrics-listen\`, 127.0.0.1:8286 unless told otherwise.

| path | answers |
|---|---|
| \`/metrics\` | Prometheus' text format |
| \`/healthz\` | 200 while every worker turns; 503 and which does not, 5 s after it last woke |
| \`/readyz\` | 200 while the node can forward; else 503 and why, one reason a line |

A scrape costs the workers nothing: they count in memory of their own, and the main thread reads it.
Every series exists from the start, at 0. Labels are closed sets, but for \`peer\`, which
\`--metrics-peers\` bounds. Names, labels and meanings are stable: a change is a breaking one.

\`direction\` is \`tx\` for packets from this node's pods into UDP, \`rx\` for the way back.
Alert rules are in [deploy/prometheus](../deploy/prometheus/weft.rules.yml), a dashboard in
[deploy/grafana](../deploy/grafana/weft.json).
`;

const PEERS_NOTE = `Only with \`--metrics-peers COUNT\`: that many peers have series of their own,
named by their subnet; the rest is added up under \`peer="other"\`. At most ten series a peer. What
is not known of a peer has no series. A node with several leases is counted at one
of them, so that all add up; what a lease was shown stays with it when it moves to another node.
`;

/** `weft agent` and `weft run` before they have read anything. */
const NO_AGENT: AgentView = {
  configInForce: () => ({ inForce: null }),
  lease: () => NO_LEASE_STATUS,
  backend: () => undefined,
  firewall: () => undefined,
};

/** docs/metrics.md: every metric as the registry has it. */
export function renderMetricsPage(): string {
  const view = metricsView();
  const build = { version: '', node: '', binding: '', kernel: '' };
  const peers = peersOf(1);
  const more = agentMetrics(NO_AGENT);
  const options = { view, packets: view, build, logWriteErrors: () => 0, peers, more };
  const sections = metricSections(options, new BusyRatios());
  return `${[HEAD, ...sections.map(renderSection)].join('\n')}`;
}

function renderSection({ title, metrics }: MetricSection): string {
  const head = ['metric', 'type', 'labels', 'meaning', 'what to do'];
  const text = `## ${title}\n\n${title === 'Peers' ? `${PEERS_NOTE}\n` : ''}`;
  const rest = title === 'Packets' ? `\n${renderDrops()}\n${renderPlaces()}` : '';
  return `${text}${table(head, metrics.map(describe))}\n${rest}`;
}

function describe({ name, type, help, advice, read }: ReadMetric): string[] {
  return [code(name), type, labelsOf(read()), help, advice ?? ''];
}

/** Labels whose values the row does not tell: open ones, and what has a table of its own. */
const UNTOLD = ['direction', 'peer', 'worker', 'version', 'node', 'binding', 'kernel'];
const MOST_TOLD = 10;

function labelsOf(samples: ReturnType<ReadMetric['read']>): string {
  const values = new Map<string, Set<string>>();
  for (const { labels } of samples) {
    for (const [label, value] of Object.entries(labels)) {
      values.set(label, (values.get(label) ?? new Set()).add(String(value)));
    }
  }
  values.delete('le');
  const words = [...values].map(([label, own]) => {
    const told = !UNTOLD.includes(label) && own.size <= MOST_TOLD;
    return told ? `${label}: ${[...own].map(code).join(' ')}` : label;
  });
  return words.join('; ');
}

function renderDrops(): string {
  const of = (direction: 'tx' | 'rx') =>
    DROP_REASONS.filter((row) => row.direction === direction).map((row) => [
      code(row.reason),
      row.meaning,
      row.advice,
    ]);
  const head = (direction: string) => [`${direction} reason`, 'meaning', 'what to do'];
  return `### Why a packet was dropped

The reasons are a closed set, and each packet that weft or the kernel's two ends of it lost is
counted under exactly one.

${table(head('tx'), of('tx'))}

${table(head('rx'), of('rx'))}
`;
}

/** In the order of the way, with everything that tells of a loss there. */
function renderPlaces(): string {
  const rows = LOSS_PLACES.map(({ direction, place, counters, seen }) => {
    return [direction, place, counters.map(code).join(' '), seen];
  });
  const head = ['way', 'place', 'kernel counter', 'what else tells, and what no counter can'];
  return `### Where a packet can be lost

From pod to pod, in the order of the way. The counters are the kernel's, by nstat's names, in
\`weft_kernel_drops_total\`, since weft's start: they count for all programs of the network
namespace, or of the machine, so they say that packets were lost and where, not whose.

${table(head, rows)}
`;
}
