/**
 * How soon packets follow a lease: the time from the put of a peer's lease in etcd to the first
 * packet that reached the peer, over and over. A probe in the node's namespace puts the lease by
 * etcd's JSON gateway and sends a numbered packet to the new subnet every quarter of a millisecond;
 * the far end signs and sends it back. Time runs from the moment before the put is sent, so that
 * etcd's own write to disk is in it, and from etcd's answer, which is what weft can be blamed for.
 */
import { createSocket } from 'node:dgram';
import { fileURLToPath } from 'node:url';
import { Cluster, SUBNETS } from '../../test/support/cluster.ts';
import { runAside } from '../../test/support/process.ts';
import { STILL_MS } from '../../test/support/stillness.ts';
import { inside } from '../../test/support/topology.ts';
import { nowMs, startEcho } from '../../test/support/udp-probe.ts';

const PORT = 9000;
const INTERVAL_MS = 0.25;
const PAYLOAD = 6;
const SIGNATURE = 2;
/** A subnet that packets never reach must not hold up the bench. */
const GIVE_UP_MS = STILL_MS;

interface Follow {
  readonly fromPutMs: number;
  readonly fromAnswerMs: number;
}

async function bench(rounds: number): Promise<void> {
  const cluster = await Cluster.build({ nodes: 2, bare: true });
  try {
    await cluster.configure();
    const [first, second] = cluster.nodes;
    const weft = await cluster.start(first!);
    const echo = await startEcho(second!.namespace, second!.address, SIGNATURE);
    const own = [...(await cluster.leases()).keys()][0]!.replace(/-24$/, '');
    const [endpoint] = cluster.etcd.endpoints;
    const probe = [process.execPath, fileURLToPath(import.meta.url), 'probe'];
    const words = [endpoint!, own, second!.address, String(rounds)];
    const argv = inside(first!.namespace, [...probe, ...words]);
    const { stdout, stderr } = await runAside(argv);
    if (stdout === '') throw new Error(stderr);
    await cluster.stop(weft);
    await echo.stop();
    report(JSON.parse(stdout) as Follow[]);
  } finally {
    await cluster.remove();
  }
}

function report(follows: readonly Follow[]): void {
  const row = (name: string, values: readonly number[]) => {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1]!.toFixed(2);
    console.log(`${name}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms`);
  };
  console.log(`put of a lease to the first packet at the peer, ${follows.length} leases`);
  row(
    'from the put, etcd included',
    follows.map(({ fromPutMs }) => fromPutMs),
  );
  row(
    "from etcd's answer",
    follows.map(({ fromAnswerMs }) => fromAnswerMs),
  );
}

/** Third octets that are neither ours nor of a round before. */
function* freeSubnets(own: string): Generator<string> {
  for (let at = 0; ; at = (at + 1) % 250) {
    const subnet = `10.244.${at + 1}.0`;
    if (subnet !== own) yield subnet;
  }
}

async function probe(endpoint: string, own: string, peer: string, rounds: number): Promise<void> {
  const value = JSON.stringify({ PublicIP: peer, PublicIPv6: null });
  const subnets = freeSubnets(own);
  const follows: Follow[] = [];
  for (let round = 0; round < rounds; round++) {
    const subnet = subnets.next().value as string;
    const key = `${SUBNETS}/${subnet}-24`;
    const flight = startFlight(subnet.replace(/\.0$/, '.2'));
    const putMs = nowMs();
    await post(`${endpoint}/v3/kv/put`, { key: encode(key), value: encode(value) });
    const answerMs = nowMs();
    const arrivedMs = await flight;
    follows.push({ fromPutMs: arrivedMs - putMs, fromAnswerMs: arrivedMs - answerMs });
    await post(`${endpoint}/v3/kv/deleterange`, { key: encode(key) });
  }
  process.stdout.write(JSON.stringify(follows));
}

/** Sends until the first answer; resolves with when the answered packet was sent. */
function startFlight(address: string): Promise<number> {
  const socket = createSocket('udp4');
  const sentMs: number[] = [];
  return new Promise((resolve, reject) => {
    let on = true;
    const end = (finish: () => void) => {
      if (!on) return;
      on = false;
      clearTimeout(late);
      socket.close();
      finish();
    };
    const late = setTimeout(() => end(() => reject(new Error('no packet arrived'))), GIVE_UP_MS);
    socket.on('error', () => undefined); // net-unreachable, as long as there is no lease
    socket.on('message', (answer) => end(() => resolve(sentMs[answer.readUInt32BE(0)]!)));
    const tick = () => {
      if (!on) return;
      const now = nowMs();
      if (now - (sentMs.at(-1) ?? 0) >= INTERVAL_MS) {
        const packet = Buffer.alloc(PAYLOAD);
        packet.writeUInt32BE(sentMs.length, 0);
        sentMs.push(now);
        socket.send(packet, PORT, address, () => undefined);
      }
      setImmediate(tick);
    };
    socket.bind(PORT, tick);
  });
}

async function post(url: string, body: object): Promise<void> {
  const answer = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
  await answer.text();
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

const [role = '', ...rest] = process.argv.slice(2);
if (role === 'probe') await probe(rest[0]!, rest[1]!, rest[2]!, Number(rest[3]));
else await bench(Number(process.env.ROUNDS ?? 300));
