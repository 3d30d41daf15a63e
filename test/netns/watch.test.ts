/** weft monitor and weft capture beside tcpdump and tshark, on live nodes. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { type ClientRequest, get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { MonitorLine, type SeenPacket } from '../../src/api/stream/schema.ts';
import { BlockCutter } from '../../src/watch/blocks.ts';
import { MOST_LISTENERS } from '../../src/watch/watch.ts';
import { goodDatagram, sendFrom } from '../support/datagrams.ts';
import { httpGet, startAll, type Weft, weftPath, writeLeases } from '../support/node.ts';
import { attempt, Background, run, runAside } from '../support/process.ts';
import { buildTopology, inside, type NodeSpace, type Topology } from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

describe('watching packets', () => {
  let topology: Topology;
  let wefts: Weft[];
  let first: NodeSpace;
  let second: NodeSpace;
  let files = 0;

  before(async () => {
    topology = buildTopology();
    [first, second] = topology.nodes as [NodeSpace, NodeSpace];
    wefts = await startAll(topology, ['--leases', writeLeases(topology)]);
  });
  after(async () => {
    await Promise.all(wefts.map((weft) => weft.stop()));
    topology.remove();
  });

  function newFile(): string {
    files += 1;
    return join(topology.directory, `watch-${files}`);
  }

  /** A command that watches node 1 until it ends or is ended. */
  function watching(...words: string[]): Background {
    const argv = [process.execPath, weftPath, ...words, '--api-socket', first.apiSocket];
    return new Background(inside(first.namespace, argv));
  }

  async function capturing(file: string, ...words: string[]): Promise<Background> {
    const capture = watching('capture', '-w', file, ...words);
    await capture.waitForOutput(/capturing to/);
    return capture;
  }

  const ping = (from: NodeSpace, to: string, ...flags: string[]) =>
    runAside(inside(from.pod.namespace, ['ping', '-q', '-W', '1', ...flags, to]));

  const sendUdp = (from: NodeSpace, to: NodeSpace, payload: string) =>
    run(inside(from.pod.namespace, ['socat', '-u', '-', `UDP-SENDTO:${to.pod.address}:4000`]), {
      input: payload,
    });

  test('a capture has the very packets that tcpdump sees on the device', async () => {
    const [ours, theirs] = [newFile(), newFile()];
    const flags = ['-i', 'flannel0', '-n', '-U', '--immediate-mode', '-Z', 'root', '-w', theirs];
    const tcpdump = new Background(inside(first.namespace, ['tcpdump', ...flags]));
    await tcpdump.waitForOutput(/listening on/);
    const capture = await capturing(ours);
    await ping(first, second.pod.address, '-c', '10', '-i', '0.01', '-s', '100');
    await ping(second, first.pod.address, '-c', '10', '-i', '0.01', '-s', '1000');
    for (let i = 0; i < 3; i++) {
      sendUdp(first, second, `there ${i}`);
      sendUdp(second, first, `and back ${i}`);
    }
    // Both write as they go, ours after a moment.
    const expected = 40 + 12;
    await waitFor('all packets', () => packetsOf(ours).length >= expected);
    await waitFor('all of tcpdump', () => packetsOf(theirs).length >= expected);
    assert.equal((await capture.stop('SIGINT')).code, 0, capture.describe());
    await tcpdump.stop('SIGINT');
    assert.deepEqual(packetsOf(ours), packetsOf(theirs));
    assert.equal(packetsOf(ours).length, expected);
    const directions = tshark(ours, '-e', 'frame.packet_flags_direction', '-e', 'ip.src');
    for (const [direction, source] of directions) {
      const outbound = source === first.pod.address;
      assert.equal(direction, outbound ? '0x00000002' : '0x00000001', source);
    }
    assert.match(capture.stderr, /52 packets, \S+ to /);
    assert.equal(statSync(ours).mode & 0o777, 0o600);
    assert.match(attempt(['capinfos', ours]).stdout, /Name = flannel0/);
  });

  test('its times go forward', () => {
    const times = tshark(join(topology.directory, 'watch-1'), '-e', 'frame.time_delta');
    for (const [delta] of times) assert.ok(Number(delta) >= 0, delta);
  });

  test('drops of either direction are captured with their reason', async () => {
    const file = newFile();
    const capture = await capturing(file, 'drops', '-c', '2');
    await ping(first, '10.244.77.7', '-c', '1');
    await sendFrom(second.namespace, first.address, [goodDatagram({ source: '10.244.3.2' })]);
    await ping(first, second.pod.address, '-c', '2');
    assert.equal((await capture.wait()).code, 0, capture.describe());
    assert.deepEqual(tshark(file, '-e', 'ip.src', '-e', 'ip.dst', '-e', 'frame.comment'), [
      [
        first.pod.address,
        '10.244.77.7',
        'peer unknown; dropped: no_route (no lease covers the destination)',
      ],
      [
        '10.244.3.2',
        first.pod.address,
        `peer ${second.address}; dropped: spoofed_source ` +
          '(inner source outside the lease of the sender)',
      ],
    ]);
  });

  test('captures with filters of their own go on side by side', async () => {
    const [icmp, udp] = [newFile(), newFile()];
    const byIcmp = await capturing(icmp, 'icmp', 'and', 'host', second.pod.address, '-c', '4');
    const byUdp = await capturing(udp, 'udp', 'port', '4000', '--snap', '64', '-c', '2');
    await ping(first, second.pod.address, '-c', '2', '-i', '0.01');
    sendUdp(first, second, 'x'.repeat(500));
    sendUdp(second, first, 'y'.repeat(500));
    for (const each of [byIcmp, byUdp]) {
      assert.equal((await each.wait()).code, 0, each.describe());
    }
    const types = tshark(icmp, '-e', 'icmp.type').map(([type]) => type);
    assert.deepEqual(types.sort(), ['0', '0', '8', '8']);
    const lengths = tshark(udp, '-e', 'udp.dstport', '-e', 'frame.len', '-e', 'frame.cap_len');
    assert.deepEqual(lengths, [
      ['4000', '528', '64'],
      ['4000', '528', '64'],
    ]);
  });

  test('a capture ends at each of its bounds, and is whole', async () => {
    const [bySize, byTime] = [newFile(), newFile()];
    const sized = await capturing(bySize, '--size', '20k');
    const timed = await capturing(byTime, '-t', '1', 'host', '10.9.9.9');
    await ping(first, second.pod.address, '-c', '40', '-i', '0.005', '-s', '1000');
    for (const each of [sized, timed]) {
      assert.equal((await each.wait()).code, 0, each.describe());
    }
    const size = statSync(bySize).size;
    assert.ok(size <= 20_000 && size > 18_000, `${size}`);
    assert.ok(tshark(bySize, '-e', 'frame.number').length >= 16);
    assert.deepEqual(tshark(byTime, '-e', 'frame.number'), []);
  });

  test('a pipe into tshark works, and its end is ours', async () => {
    const pipe = `exec "$0" "$@" | tshark -l -r - -c 2 -T fields -e icmp.type 2>/dev/null`;
    const words = ['capture', '-w', '-', 'icmp', '--api-socket', first.apiSocket];
    const argv = ['bash', '-c', pipe, process.execPath, weftPath, ...words];
    const both = new Background(inside(first.namespace, argv));
    await both.waitForOutput(/capturing to standard output/);
    const pinging = new Background(
      inside(first.pod.namespace, ['ping', '-q', '-i', '0.1', second.pod.address]),
    );
    const end = await both.wait();
    await pinging.stop('SIGINT');
    assert.equal(end.code, 0, both.describe());
    assert.deepEqual(both.stdout.trim().split('\n'), ['8', '0']);
  });

  test('a file that cannot be written, and a filter that cannot be read, are told', async () => {
    const refused: [string[], number, RegExp][] = [
      [['capture', '-w', '/proc/nowhere/x'], 3, /^weft: .*\/proc\/nowhere\/x: ENOENT/m],
      [['capture', '-w', newFile(), 'tcp', 'or', 'udp'], 2, /'or' is tcpdump's, not ours/],
      [['monitor', 'port', 'http'], 2, /port takes a number/],
      [['capture', '-w', newFile(), '--size', '1'], 2, /It takes 4096 to/],
    ];
    for (const [words, code, message] of refused) {
      const command = watching(...words);
      assert.equal((await command.wait()).code, code, command.describe());
      assert.match(command.stderr, message);
    }
  });

  test('a reader that is slow loses packets, and the capture says how many', async () => {
    const { response, request } = await openRaw(first.apiSocket, '/v1/capture');
    response.pause();
    const flood = ['-f', '-s', '1400', '-c', '8000'];
    const before = wefts[0]!.metrics().sum('weft_packets_total');
    await ping(first, second.pod.address, ...flood);
    const passed = () => wefts[0]!.metrics().sum('weft_packets_total') - before;
    await waitFor('the flood', () => passed() >= 16_000);
    const cutter = new BlockCutter();
    response.on('data', (piece: Buffer) => void cutter.take(piece)).resume();
    // Losses are told within a second, and packets may still follow what tells of them.
    const { packets, lost } = await waitFor('every packet, shown or lost', () => {
      const totals = cutter.totals();
      return totals.packets + totals.lost >= 16_000 ? totals : undefined;
    });
    request.destroy();
    assert.ok(packets > 1_000, `${packets} packets`);
    assert.ok(lost > 0 && packets + lost <= passed() + lost, `${packets}, ${lost}`);
  });

  test('a client that is killed lets go of the tap', async () => {
    const open = `const { get } = require('node:http'); let open = 0;
      for (let i = 0; i < ${MOST_LISTENERS}; i++)
        get({ socketPath: process.argv[1], path: '/v1/monitor' }, (r) => {
          if (r.statusCode === 200 && ++open === ${MOST_LISTENERS}) console.log('open');
        });`;
    const client = new Background([process.execPath, '-e', open, first.apiSocket]);
    await client.waitForOutput(/open/);
    const late = watching('monitor');
    assert.equal((await late.wait()).code, 5);
    assert.match(late.stderr, /8 watch packets already\nweft: end one of them/);
    await client.stop('SIGKILL');
    await waitFor('room for others', async () => {
      const { response, request } = await openRaw(first.apiSocket, '/v1/monitor');
      request.destroy();
      return response.statusCode === 200;
    });
    await waitFor('the log', () => logOf(wefts[0]!).match(/ended: weft monitor/g)!.length >= 8);
  });

  test('monitor --drops --follow shows a drop with its reason', async () => {
    const monitor = watching('monitor', '--drops', '--follow');
    await monitor.waitForOutput(/^TIME/);
    await waitFor('the log', () =>
      /somebody watches packets: weft monitor drops/.test(logOf(wefts[0]!)),
    );
    await ping(first, second.pod.address, '-c', '1');
    await ping(first, '10.244.77.7', '-c', '1');
    await monitor.waitForOutput(/no_route/);
    const end = await monitor.stop('SIGINT');
    assert.equal(end.code, 0, monitor.describe());
    const [head, row, ...rest] = monitor.stdout.trimEnd().split('\n');
    assert.match(head!, /^TIME +DIR +LENGTH +PEER +RESULT +PACKET$/);
    assert.match(
      row!,
      /^[\d:]{8}\.\d{6} +tx +84 +- +no_route +10.244.1.2 > 10.244.77.7 icmp echo .* seq 1$/,
    );
    assert.deepEqual(rest, []);
    assert.match(
      monitor.stderr,
      /weft: 1 shown; meanwhile \d+ packets passed and 1 were dropped$/m,
    );
  });

  test('monitor shows a flood at its rate, and says what it left out', async () => {
    const monitor = watching('monitor', '-o', 'json', '-t', '3', '-r', '10');
    const flooding = new Background(
      inside(first.pod.namespace, ['ping', '-f', '-q', second.pod.address]),
    );
    const end = await monitor.wait();
    await flooding.stop('SIGINT');
    assert.equal(end.code, 0, monitor.describe());
    const lines = monitor.stdout
      .trim()
      .split('\n')
      .map((line) => MonitorLine.parse(JSON.parse(line)));
    const last = lines.pop()!;
    assert.ok(last.kind === 'summary' && last.ended === 'time');
    const packets = lines as SeenPacket[];
    assert.equal(packets.length, last.shown);
    assert.ok(packets.length >= 10 && packets.length <= 40, `${packets.length}`);
    assert.ok(last.oneOf.packets > 1 && last.passed > 100 * packets.length, JSON.stringify(last));
    assert.ok(packets.every(({ peer, reason }) => peer === second.address && reason === null));
    assert.deepEqual(new Set(packets.map(({ direction }) => direction)), new Set(['tx', 'rx']));
  });

  test('packets are not shown on the metrics address', () => {
    for (const path of ['/v1/capture', '/v1/monitor?rate=1']) {
      const { status, body } = httpGet(first.namespace, path);
      assert.equal(status, 403, body);
      assert.match(body, /ask on the unix socket/);
    }
  });

  test('who watches when weft ends is told, and keeps what there is', async () => {
    const file = newFile();
    const capture = await capturing(file);
    const monitor = watching('monitor', '-t', '60');
    await monitor.waitForOutput(/^TIME/);
    await ping(first, second.pod.address, '-c', '1');
    await waitFor('packets', () => packetsOf(file).length === 2);
    await monitor.waitForOutput(/echo reply/);
    await wefts[0]!.stop();
    assert.equal((await capture.wait()).code, 0, capture.describe());
    assert.equal((await monitor.wait()).code, 5, monitor.describe());
    assert.match(monitor.stderr, /weft ended while we watched/);
    assert.equal(packetsOf(file).length, 2);
    wefts.shift();
  });
});

/** The outermost of each field: ICMP errors quote packets. */
const FIELDS = ['-T', 'fields', '-E', 'occurrence=f'];

const logOf = ({ process }: Weft): string => process.stdout + process.stderr;

/** Fields of each packet, as tshark reads them; a warning is an error. */
function tshark(file: string, ...fields: string[]): string[][] {
  const { status, stdout, stderr } = attempt(['tshark', '-r', file, ...FIELDS, ...fields]);
  const said = stderr.split('\n').filter((line) => line !== '' && !/^Running as user/.test(line));
  assert.deepEqual([status, said], [0, []]);
  const lines = stdout.split('\n').slice(0, -1);
  return lines.map((line) => line.split('\t'));
}

/** What tells packets apart, in an order of its own; a file that grows may end in the middle. */
function packetsOf(file: string): string[] {
  const fields = ['ip.src', 'ip.dst', 'ip.id', 'frame.len', 'icmp.type', 'icmp.seq', 'udp.payload'];
  if (readFileSync(file).length === 0) return [];
  const argv = ['tshark', '-r', file, ...FIELDS, ...fields.flatMap((name) => ['-e', name])];
  return attempt(argv).stdout.split('\n').filter(Boolean).sort();
}

function openRaw(
  socketPath: string,
  path: string,
): Promise<{ response: IncomingMessage; request: ClientRequest }> {
  return new Promise((resolve, reject) => {
    const request = get({ socketPath, path }, (response) => {
      response.on('error', () => {});
      resolve({ response, request });
    });
    request.once('error', reject);
  });
}
