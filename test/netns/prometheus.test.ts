/**
 * Debian's Prometheus beside two real nodes: it scrapes them, our rules fire there, and every query
 * of the dashboard brings something.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { goodDatagram } from '../support/datagrams.ts';
import { iperf } from '../support/iperf.ts';
import { httpGet, leasesOf, Weft, writeLeases } from '../support/node.ts';
import { Background, run } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

const DEPLOY = fileURLToPath(new URL('../../../deploy', import.meta.url));
const PORT = 9090;

/**
 * Queries that are right to bring nothing on two healthy nodes: what is unknown of a peer has no
 * series.
 */
const MAY_BE_EMPTY = ['weft_peer_round_trip_seconds', 'weft_peer_loss_ratio', 'weft_peer_path_mtu'];

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly definition?: string }[] };
}

/** Rules as they are, but for how long they wait before they fire: a test has no minutes. */
function configure(topology: Topology): string {
  const rules = readFileSync(join(DEPLOY, 'prometheus/weft.rules.yml'), 'utf8');
  writeFileSync(
    join(topology.directory, 'rules.yml'),
    rules.replaceAll(/^( +for:) \S+$/gm, '$1 0s'),
  );
  const targets = topology.nodes.map((node) => `${node.address}:8286`);
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['rules.yml'],
    scrape_configs: [{ job_name: 'weft', static_configs: [{ targets }] }],
  };
  const path = join(topology.directory, 'prometheus.yml');
  writeFileSync(path, JSON.stringify(config));
  return path;
}

describe('Prometheus', () => {
  let topology: Topology;
  let prometheus: Background;
  let wefts: Weft[] = [];

  before(async () => {
    topology = buildTopology();
    const leases = writeLeases(topology, leasesOf(topology.nodes));
    const args = ['--leases', leases, '--metrics-peers', '1', '--metrics-listen', '0.0.0.0:8286'];
    wefts = await Promise.all(topology.nodes.map((node) => Weft.start(node, args)));
    prometheus = new Background(
      inside(topology.underlay, [
        'prometheus',
        `--config.file=${configure(topology)}`,
        `--storage.tsdb.path=${join(topology.directory, 'prometheus')}`,
        `--web.listen-address=127.0.0.1:${PORT}`,
      ]),
    );
    await waitFor('both nodes scraped', () => ask('sum(up)')[0]?.value[1] === '2', { every: 200 });
  });
  after(async () => {
    await prometheus?.stop();
    for (const weft of wefts) await weft.stop();
    topology?.remove();
  });

  function get<Answer>(path: string): Answer {
    const { status, body } = httpGet(topology.underlay, path, PORT);
    if (status === 0) throw new Error(`nobody listens yet:\n${prometheus.describe()}`);
    const answer = JSON.parse(body) as { status: string; error?: string; data: Answer };
    assert.equal(answer.status, 'success', `${path}: ${answer.error}`);
    return answer.data;
  }

  function ask(query: string): readonly Sample[] {
    const path = `/api/v1/query?query=${encodeURIComponent(query)}`;
    return get<{ result: readonly Sample[] }>(path).result;
  }

  const firing = () => ask('ALERTS{alertstate="firing"}').map(({ metric }) => metric.alertname);

  test('takes every series, and agrees with the node and its kernel', async () => {
    const [from, to] = topology.nodes.map((node) => node.pod);
    await iperf({
      client: from!.namespace,
      server: to!.namespace,
      address: to!.address,
      seconds: 2,
    });
    const own = () => wefts[0]!.metrics().values;
    const scraped = await waitFor('as much as the node says', () => {
      const [sample] = ask('sum(weft_packets_total{instance="192.0.2.1:8286",direction="tx"})');
      const count = Number(sample?.value[1]);
      return count > 1_000 && count === own().get('weft_packets_total{direction="tx"}') && count;
    });
    const series = ask('scrape_samples_scraped{instance="192.0.2.1:8286"}')[0]!.value[1];
    assert.equal(Number(series), own().size);
    const { namespace } = topology.nodes[0]!;
    const link = JSON.parse(run(['ip', '-n', namespace, '-s', '-j', 'link', 'show', 'flannel0']));
    // The kernel counts a superpacket once, and we each of its segments.
    assert.ok(scraped >= link[0].stats64.tx.packets, `${scraped}, ${JSON.stringify(link)}`);
    const bytes = own().get('weft_bytes_total{direction="tx",layer="inner"}')!;
    assert.ok(bytes >= link[0].stats64.tx.bytes, `${bytes}, ${JSON.stringify(link)}`);
  });

  test('knows each peer by name', () => {
    const [sent] = ask('weft_peer_packets_total{instance="192.0.2.1:8286",direction="tx"} > 0');
    assert.equal(sent?.metric.peer, topology.nodes[1]!.subnet);
  });

  const text = readFileSync(join(DEPLOY, 'grafana/weft.json'), 'utf8');
  const dashboard = JSON.parse(text) as Dashboard;
  for (const { title, targets = [] } of dashboard.panels) {
    for (const { expr } of targets) {
      test(`has an answer for ${title}: ${expr}`, async () => {
        const query = expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*');
        assert.doesNotMatch(query, /\$/);
        const empty = MAY_BE_EMPTY.some((name) => query.includes(name));
        await waitFor('an answer', () => ask(query).length > 0 || empty, { every: 200 });
      });
    }
  }

  test('fires no alert on two healthy nodes', () => {
    assert.deepEqual(firing(), []);
  });

  test('fires when a node cannot forward, and ends when it can again', async () => {
    const { namespace } = topology.nodes[0]!;
    run(['ip', '-n', namespace, 'link', 'set', 'flannel0', 'down']);
    await waitFor('the alert', () => firing().includes('WeftNotReady'), { every: 200 });
    run(['ip', '-n', namespace, 'link', 'set', 'flannel0', 'up']);
    await waitFor('its end', () => !firing().includes('WeftNotReady'), { every: 200 });
  });

  test('fires when a stranger sends to the port, and when a node is gone', async () => {
    const packet = goodDatagram();
    const flood = Buffer.concat(Array.from({ length: 2_000 }, () => packet));
    const target = `UDP-SENDTO:${topology.nodes[1]!.address}:8285`;
    run(inside(topology.underlay, ['socat', `-b${packet.length}`, '-u', '-', target]), {
      input: flood,
    });
    await waitFor('the alert', () => firing().includes('WeftForgedPackets'), { every: 200 });
    await wefts.pop()!.stop();
    await waitFor('the other alert', () => firing().includes('WeftDown'), { every: 200 });
  });
});
