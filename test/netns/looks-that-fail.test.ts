/** Every look at a weft fails inside of it, over and over: packets flow as if nobody looked. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { ROUTES } from '../../src/api/routes.ts';
import { STREAMS } from '../../src/api/stream/paths.ts';
import { MOST_LISTENERS } from '../../src/watch/watch.ts';
import { makeFolder } from '../support/maker.ts';
import { Weft, writeLeases } from '../support/node.ts';
import { attempt, Background, run } from '../support/process.ts';
import { buildTopology, inside, type Topology } from '../support/topology.ts';
import { lookAt, waitFor } from '../support/waitfor.ts';

/** Loaded before weft: whoever begins an answer that is no error of ours throws. */
const SABOTAGE = `import { ServerResponse } from 'node:http';
const { writeHead } = ServerResponse.prototype;
ServerResponse.prototype.writeHead = function (status, ...rest) {
  if (status < 500) throw new Error('a handler that fails');
  return writeHead.call(this, status, ...rest);
};
`;
/** More than there are places for streams. */
const ROUNDS = MOST_LISTENERS + 1;

describe('a weft of which every handler throws', () => {
  let topology: Topology;
  let folder: string;
  const wefts: Weft[] = [];

  before(async () => {
    folder = makeFolder('sabotage');
    topology = buildTopology();
    const args = ['--leases', writeLeases(topology), '--workers', '1'];
    const [first, second] = topology.nodes;
    wefts.push(await Weft.start(second!, args));
    const path = join(folder, 'sabotage.mjs');
    writeFileSync(path, SABOTAGE);
    const before = process.env.NODE_OPTIONS;
    process.env.NODE_OPTIONS = `--import ${path}`;
    try {
      wefts.unshift(new Weft(first!, args));
    } finally {
      if (before === undefined) delete process.env.NODE_OPTIONS;
      else process.env.NODE_OPTIONS = before;
    }
  });
  after(async () => {
    for (const weft of wefts) await weft.stop();
    topology.remove();
    rmSync(folder, { recursive: true });
  });

  test('answers 500 to all who look, and carries every packet', async () => {
    const [weft, other] = wefts as [Weft, Weft];
    const { namespace, apiSocket, pod } = weft.space;
    const peer = other.space.pod.address;
    const ready = /"msg":"ready: 1 peer"/;
    await waitFor('weft to be ready', () => {
      lookAt(weft.process);
      return ready.test(weft.process.stdout);
    });
    run(inside(pod.namespace, ['ping', '-c1', '-W60', peer]));
    const flow = new Background(inside(pod.namespace, ['ping', '-i', '0.002', '-q', peer]));
    const routes = [...Object.values(ROUTES), ...Object.values(STREAMS)].map(({ path }) => path);
    const paths = ['/', '/metrics', '/healthz', '/readyz', '/none', ...routes];
    const asked = (words: string[], path: string) => {
      const curl = ['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', ...words];
      return attempt(inside(namespace, [...curl, `http://127.0.0.1:8286${path}`])).stdout;
    };
    for (let round = 0; round < ROUNDS; round++) {
      for (const path of paths) {
        for (const words of [[], ['--unix-socket', apiSocket]]) {
          assert.equal(asked(words, path), '500', `${path} ${words.join(' ')}`);
        }
      }
    }
    await waitFor('its line of the log', () => {
      lookAt(weft.process);
      return /failed, which is a mistake of weft's own: a handler that/.test(weft.process.stdout);
    });
    flow.child.kill('SIGINT');
    await flow.wait();
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(flow.stdout)!;
    assert.ok(Number(sent) > 100, flow.stdout);
    // The one on its way when ping was ended may lack its answer.
    assert.ok(Number(sent) - Number(received) <= 1, flow.stdout);
  });
});
