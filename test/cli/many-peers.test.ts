/** Commands whose answer is larger than a pipe, read slowly, in part, or not at all. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Api, createApi } from '../../src/api/router.ts';
import { Peers } from '../../src/api/schema.ts';
import { type ApiServer, serveSocket } from '../../src/api/server.ts';
import { apiView } from '../api/view.ts';
import { makeFolder } from '../support/maker.ts';
import { runAside } from '../support/process.ts';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const COUNT = 5_000;

describe('weft peers with 5,000 of them', () => {
  let folder: string;
  let api: Api;
  let server: ApiServer;

  before(async () => {
    folder = makeFolder('many');
    const peers = Array.from({ length: COUNT }, (_, i) => ({
      subnet: `10.${i >> 8}.${i & 255}.0/24`,
      publicAddress: `198.18.${i >> 8}.${i & 255}`,
      backendType: '',
      txBytes: i,
    }));
    api = createApi(apiView({ peers: () => peers }));
    server = await serveSocket(join(folder, 'weft.sock'), api);
  });
  after(() => {
    server.close();
    api.stop();
    rmSync(folder, { recursive: true });
  });

  /** The command with its output in a pipe to a shell's command. */
  function piped(reader: string, ...words: string[]) {
    const argv = [process.execPath, CLI, ...words, '--api-socket', join(folder, 'weft.sock')];
    const program = `set -o pipefail; reader=$1; shift; "$@" | eval "$reader"`;
    return runAside(['bash', '-c', program, 'bash', reader, ...argv]);
  }

  test('a slow reader gets all of it', async () => {
    const slowly = 'dd bs=1 count=100000 status=none; cat';
    const json = await piped(slowly, 'peers', '-o', 'json', '--sort=-tx');
    assert.deepEqual([json.status, json.stderr], [0, '']);
    const { peers, total } = Peers.parse(JSON.parse(json.stdout));
    assert.deepEqual([peers.length, total, peers[0]!.txBytes], [COUNT, COUNT, COUNT - 1]);
    const table = await piped(slowly, 'peers');
    assert.equal(table.stdout.trimEnd().split('\n').length, COUNT + 4);
  });

  test('a reader that has enough is no trouble', async () => {
    const { status, stdout, stderr } = await piped('head -1', 'peers');
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /^SUBNET .*\n$/);
  });

  test('filter and limit leave little of it', async () => {
    const { stdout } = await piped('cat', 'peers', '--filter', '10.7.7.9', '--limit', '3');
    assert.match(stdout, /^10\.7\.7\.0\/24 +198\.18\.7\.7 /m);
    assert.match(stdout, /^1 of 5000 peers$/m);
  });
});
