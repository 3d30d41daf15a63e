import assert from 'node:assert/strict';
import { lstatSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { ApiError, ask } from '../../src/api/client.ts';
import { type Api, createApi } from '../../src/api/router.ts';
import { ROUTES, type RouteName } from '../../src/api/routes.ts';
import { ErrorAnswer } from '../../src/api/schema.ts';
import { type ApiServer, SocketError, serveSocket } from '../../src/api/server.ts';
import type { ApiView } from '../../src/api/view.ts';
import { makeFolder } from '../support/maker.ts';
import { run } from '../support/process.ts';
import { apiView } from './view.ts';

describe('the API on its socket', () => {
  let folder: string;
  let path: string;
  let api: Api;
  let server: ApiServer;
  let notReady: string[];

  beforeEach(async () => {
    folder = makeFolder('api');
    path = join(folder, 'deeper', 'weft.sock');
    notReady = [];
    api = createApi(apiView({ notReady: () => notReady }));
    server = await serveSocket(path, api);
  });
  afterEach(() => {
    server.close();
    api.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function send(method: string, target: string): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: path, method, path: target }, async (answer) => {
        let body = '';
        for await (const part of answer) body += part;
        resolve({ status: answer.statusCode!, body });
      });
      asked.once('error', reject).end();
    });
  }

  test('is for root and its group only', () => {
    assert.equal(statSync(path).mode & 0o777, 0o660);
    assert.equal(statSync(join(folder, 'deeper')).mode & 0o777, 0o755);
  });

  for (const name of Object.keys(ROUTES) as RouteName[]) {
    test(`${name} answers in its shape`, async () => {
      await ask(path, name, name === 'trace' ? { dst: '10.244.2.2' } : {});
    });
  }

  const refused: [string, string, number, RegExp][] = [
    ['GET', '/', 404, /nothing is here/],
    ['GET', '/v1/nothing', 404, /there is no \/v1\/nothing/],
    ['GET', '/v1', 404, /there is no \/v1"/],
    ['POST', '/v1/status', 405, /only reads/],
    ['DELETE', '/v1/peers', 405, /only reads/],
    ['HEAD', '/v1/status', 200, /^$/],
    ['GET', '/v1/peers?sort=beauty', 400, /there is no order 'beauty'/],
    ['GET', '/v1/peers?limit=-1', 400, /limit is a whole number/],
    ['GET', '/v1/peers?fliter=1', 400, /has no parameter 'fliter'.*it takes sort, filter, limit/],
    ['GET', '/v1/status?x=1', 400, /takes none/],
    ['GET', '/v1/trace', 400, /dst is missing/],
    ['GET', '/v1/trace?dst=10.244.2', 400, /dst is no IPv4 address: '10\.244\.2'/],
    ['GET', `/v1/peers?filter=${'x'.repeat(3_000)}`, 414, /too long/],
  ];
  for (const [method, target, status, text] of refused) {
    test(`${method} ${target.slice(0, 40)} is ${status}`, async () => {
      const answer = await send(method, target);
      assert.equal(answer.status, status);
      assert.match(answer.body, text);
      if (method !== 'HEAD') ErrorAnswer.parse(JSON.parse(answer.body));
    });
  }

  test('a header that never ends is cut off', async () => {
    const answer = await send('GET', `/v1/peers?filter=${'x'.repeat(20_000)}`);
    assert.equal(answer.status, 431);
  });

  test('a view that fails is an error of that request alone', async () => {
    server.close();
    const broken: ApiView = apiView({
      config: () => {
        throw new Error('no options');
      },
    });
    const other = createApi(broken);
    server = await serveSocket(path, other);
    await assert.rejects(ask(path, 'config'), /no options/);
    assert.equal((await ask(path, 'health')).ready, true);
    other.stop();
  });

  test('the socket of a live weft is refused, and goes on', async () => {
    await assert.rejects(serveSocket(path, api), (error) => {
      assert.ok(error instanceof SocketError);
      assert.match(
        error.message,
        /^--api-socket .*: weft \(this very process\) answers there: .*, or choose another path/,
      );
      return true;
    });
    notReady = ['no leases yet'];
    assert.deepEqual((await ask(path, 'health')).notReady, notReady);
  });

  test('the socket of a dead weft is replaced, and removed at the end', async () => {
    const stale = join(folder, 'stale.sock');
    const program = `const die = () => process.kill(process.pid, 'SIGKILL');
      require('net').createServer().listen(${JSON.stringify(stale)}, die);`;
    assert.throws(() => run([process.execPath, '-e', program]));
    assert.ok(lstatSync(stale).isSocket());
    const replaced = await serveSocket(stale, api);
    assert.equal((await ask(stale, 'health')).ready, true);
    replaced.close();
    assert.equal(lstatSync(stale, { throwIfNoEntry: false }), undefined);
  });

  test('what is no socket is left alone', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, 'precious');
    await assert.rejects(serveSocket(file, api), /is there and is no socket/);
    await assert.rejects(serveSocket(join(file, 'x'), api), SocketError);
    await assert.rejects(serveSocket(`/tmp/${'x'.repeat(108)}`, api), /longer than 96 bytes/);
  });

  test('a socket that took our place is not removed', async () => {
    rmSync(path);
    const second = await serveSocket(path, api);
    server.close();
    const found = await ask(path, 'health').finally(() => second.close());
    assert.equal(found.ready, true);
  });

  test('clients that say nothing do not keep others out', async () => {
    const silent = Array.from({ length: 40 }, () => connect({ path }).on('error', () => {}));
    assert.equal((await ask(path, 'health')).ready, true);
    for (const socket of silent) socket.destroy();
  });

  test('a client is told what is wrong and what to do', async () => {
    const told = async (socket: string, kind: ApiError['kind'], message: RegExp) => {
      await assert.rejects(ask(socket, 'status'), (error) => {
        assert.ok(error instanceof ApiError);
        assert.match(error.message, message);
        assert.equal(error.kind, kind);
        assert.notEqual(error.cure, '');
        return true;
      });
    };
    await told(join(folder, 'none.sock'), 'absent', /there is no /);
    await told(join(folder, 'deeper'), 'absent', /nobody answers/);
  });
});
