/** Streams over a real socket, from a tap whose packets the test makes. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { ApiError } from '../../../src/api/client.ts';
import { createApi } from '../../../src/api/router.ts';
import { type ApiServer, serveSocket } from '../../../src/api/server.ts';
import { openStream, readLines } from '../../../src/api/stream/client.ts';
import type { MonitorLine } from '../../../src/api/stream/schema.ts';
import { createStreams, type Streams } from '../../../src/api/stream/serve.ts';
import type { ApiView } from '../../../src/api/view.ts';
import { TX_NO_ROUTE } from '../../../src/dataplane/counters.ts';
import { createTaps, type Taps } from '../../../src/dataplane/tap/reader.ts';
import * as ring from '../../../src/dataplane/tap/ring.ts';
import { createTap, type Tap } from '../../../src/dataplane/tap/writer.ts';
import { NO_ADDRESS } from '../../../src/sys/sockaddr.ts';
import { BlockCutter } from '../../../src/watch/blocks.ts';
import { createWatch, MOST_LISTENERS, type Watch } from '../../../src/watch/watch.ts';
import { nameOf } from '../../support/ipv4-peers.ts';
import { makeFolder } from '../../support/maker.ts';
import { udp4 } from '../../support/packets.ts';
import { waitFor } from '../../support/waitfor.ts';
import { apiView } from '../view.ts';

const PEER = 0x0a000002;

describe('streams', () => {
  let folder: string;
  let path: string;
  let server: ApiServer;
  let streams: Streams;
  let taps: Taps;
  let watch: Watch;
  let pump: Tap;
  let words: Int32Array;
  let told: string[];
  const bytes = new Uint8Array(4_096);
  const length = udp4(new Uint8Array(1_000)).length;

  async function serve(view: ApiView): Promise<void> {
    const api = createApi(view);
    api.stop();
    streams = createStreams(view, watch, (sentence) => told.push(sentence));
    server = await serveSocket(path, {
      handle: (request, response) =>
        streams.handle(request, response) || api.handle(request, response),
    });
  }

  beforeEach(async () => {
    folder = makeFolder('streams');
    path = join(folder, 'weft.sock');
    const memory = new SharedArrayBuffer(2 * ring.RING_BYTES);
    words = new Int32Array(memory);
    taps = createTaps(memory, 1);
    watch = createWatch(() => taps);
    bytes.set(udp4(new Uint8Array(1_000)));
    pump = createTap(bytes, memory, 0);
    told = [];
    await serve(apiView());
  });
  afterEach(async () => {
    streams.stop();
    server.close();
    await waitFor('the tap to be free', () => !taps.taken);
    rmSync(folder, { recursive: true });
  });

  function pass(count: number): void {
    pump.refresh();
    for (let i = 0; i < count; i++) pump.packet(0, length, 0, nameOf(PEER), 0);
  }

  async function drop(): Promise<void> {
    pump.refresh();
    pump.drop(TX_NO_ROUTE, 0, length, NO_ADDRESS, 0);
  }

  async function read(stream: IncomingMessage): Promise<BlockCutter> {
    const cutter = new BlockCutter();
    for await (const piece of stream as AsyncIterable<Buffer>) cutter.take(piece);
    return cutter;
  }

  test('a capture ends with its count, its size or weft itself, closed each time', async () => {
    const counted = await openStream(path, 'capture', { count: '7' });
    const sized = await openStream(path, 'capture', { bytes: '9000' });
    const last = await openStream(path, 'capture', { filter: 'udp and host 10.244.1.2' });
    pass(20);
    const [byCount, bySize] = await Promise.all([read(counted), read(sized)]);
    assert.deepEqual([byCount.totals().packets, byCount.totals().closed], [7, true]);
    assert.equal(bySize.totals().closed, true);
    assert.ok(bySize.totals().bytes <= 9_000 && bySize.totals().bytes > 7_000);
    streams.stop();
    const byEnd = (await read(last)).totals();
    assert.deepEqual([byEnd.packets, byEnd.lost, byEnd.closed], [20, 0, true]);
  });

  test('a monitor shows packets and drops, and sums up', async () => {
    const stream = await openStream(path, 'monitor', { count: '2' });
    pass(1);
    await drop();
    const lines: MonitorLine[] = [];
    for await (const line of readLines(stream)) lines.push(line);
    const [packet, dropped, end] = lines.filter((line) => line.kind === 'packet' || line.ended);
    assert.ok(packet?.kind === 'packet' && dropped?.kind === 'packet' && end?.kind === 'summary');
    assert.deepEqual([packet.reason, packet.peer, packet.length], [null, '10.0.0.2', length]);
    assert.deepEqual([dropped.reason, dropped.peer], ['no_route', null]);
    assert.deepEqual([packet.source, packet.sourcePort], ['10.244.1.2', 40_000]);
    assert.deepEqual([end.ended, end.shown], ['count', 2]);
  });

  test('a stream ends when its time is up', async () => {
    const stream = await openStream(path, 'monitor', { seconds: '1' });
    const lines: MonitorLine[] = [];
    for await (const line of readLines(stream)) lines.push(line);
    const last = lines.at(-1);
    assert.ok(last?.kind === 'summary' && last.ended === 'time');
    await waitFor('the tap to be free', () => !taps.taken);
  });

  test("the tap is held while somebody reads, and a slow reader's losses are counted", async () => {
    const stream = await openStream(path, 'capture', {});
    stream.pause();
    assert.equal(words[ring.MODE], ring.MODE_PACKETS | ring.MODE_DROPS);
    // Three rounds of what a ring has room for: more than all buffers on the way together.
    for (let round = 0; round < 3; round++) {
      pass(3_500);
      await waitFor('main to read', () => words[ring.READ] === words[ring.WRITTEN]);
    }
    const cutter = new BlockCutter();
    stream.on('data', (piece: Buffer) => void cutter.take(piece)).resume();
    const lost = await waitFor('the losses', () => cutter.totals().lost);
    assert.equal(cutter.totals().packets + lost, 10_500);
    stream.on('error', () => {}).destroy();
    await waitFor('the tap to be free', () => words[ring.MODE] === 0);
    assert.equal(watch.listeners, 0);
    assert.deepEqual(told, ['somebody watches packets: weft capture', 'ended: weft capture']);
  });

  test('there is room for so many', async () => {
    const open = () => openStream(path, 'monitor', { filter: 'drops' });
    const all = await Promise.all(Array.from({ length: MOST_LISTENERS }, open));
    await assert.rejects(open(), /8 watch packets already/);
    for (const stream of all) stream.on('error', () => {}).destroy();
    await waitFor('room', () => watch.listeners === 0);
    (await open()).on('error', () => {}).destroy();
  });

  test('a stream that cannot be had says why', async () => {
    const told = (parameters: Record<string, string>, message: RegExp) =>
      assert.rejects(openStream(path, 'capture', parameters), (error) => {
        assert.ok(error instanceof ApiError && error.cure !== '');
        assert.match(error.message, message);
        return true;
      });
    await told({ filter: 'tcp or udp' }, /'or' is tcpdump's/);
    await told({ snap: '10' }, /^snap takes a whole number from 64 to 65535, not '10'$/);
    await told({ count: '-1' }, /^count takes/);
    await told({ seconds: '1e3' }, /^seconds takes/);
    await told({ rate: '5' }, /has no parameter 'rate'/);
    streams.stop();
    await told({}, /weft is ending/);
    server.close();
    await serve(apiView({ pumps: () => [] }));
    await told({}, /this weft carries no packets now/);
    assert.equal(taps.taken, false);
  });

  test('HEAD and methods that write are answered without a stream', async () => {
    const status = (method: string) =>
      new Promise<number>((resolve, reject) => {
        const sent = httpRequest({ socketPath: path, path: '/v1/capture', method }, (answer) => {
          answer.resume().once('end', () => resolve(answer.statusCode!));
        });
        sent.once('error', reject).end();
      });
    assert.deepEqual([await status('HEAD'), await status('POST')], [200, 405]);
    assert.equal(taps.taken, false);
  });
});
