/** Whatever fails while somebody looks costs that look alone: a 500, one line, and weft goes on. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { get, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { Registry } from 'prom-client';
import { createApi } from '../../src/api/router.ts';
import { ROUTES } from '../../src/api/routes.ts';
import { serveSocket } from '../../src/api/server.ts';
import { STREAMS } from '../../src/api/stream/paths.ts';
import { createStreams } from '../../src/api/stream/serve.ts';
import type { ApiView } from '../../src/api/view.ts';
import { registerAll } from '../../src/observe/exposition.ts';
import { type HttpServer, serveHttp } from '../../src/observe/http.ts';
import { serveFiles } from '../../src/observe/static-files.ts';
import { createWatch } from '../../src/watch/watch.ts';
import { apiView } from '../api/view.ts';
import { rawControls } from '../support/hostile.ts';
import { makeFolder } from '../support/maker.ts';
import { waitFor } from '../support/waitfor.ts';

const FAULT = 'no such thing\u001b[31m\nFORGED';
const fail = (): never => {
  throw new Error(FAULT);
};

/** A view of which every member fails as soon as it is looked at. */
const BROKEN: ApiView = new Proxy(apiView(), { get: fail });

describe('a look that fails', () => {
  let folder: string;
  let told: string[];
  let server: HttpServer;
  let stops: (() => void)[];

  beforeEach(async () => {
    folder = makeFolder('boundary');
    told = [];
    stops = [];
    const trouble = (sentence: string) => told.push(sentence);
    const exposition = new Registry();
    registerAll(exposition, [{ name: 'weft_x', help: 'x', type: 'gauge', read: fail }]);
    const api = createApi(BROKEN, trouble);
    const streams = createStreams(BROKEN, createWatch(fail), fail, trouble);
    server = await serveHttp({
      ...{ host: '127.0.0.1', port: 0, unhealthy: fail, notReady: fail, trouble },
      metrics: { text: () => exposition.metrics(), contentType: 'text/plain' },
      mounted: [
        api.handle,
        (request) => (request.url === '/throws' ? fail() : false),
        (request) => (request.url === '/rejects' ? Promise.reject(new Error(FAULT)) : false),
        (request, response) => {
          if (request.url !== '/half') return false;
          response.writeHead(200).write('half');
          return fail();
        },
      ],
    });
    const handle: typeof api.handle = (request, response) =>
      streams.handle(request, response) || api.handle(request, response);
    const socket = await serveSocket(join(folder, 'weft.sock'), { handle }, trouble);
    stops.push(
      streams.stop,
      api.stop,
      () => socket.close(),
      () => server.close(),
    );
  });
  afterEach(() => {
    for (const stop of stops) stop();
    rmSync(folder, { recursive: true, force: true });
  });

  interface Answer {
    readonly status: number;
    readonly body: string;
  }

  function ask(where: object, path: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const asked = get({ ...where, path, agent: false }, async (answer) => {
        let body = '';
        try {
          for await (const part of answer.setEncoding('utf8')) body += part;
          resolve({ status: answer.statusCode!, body });
        } catch (error) {
          reject(error);
        }
      });
      asked.once('error', reject);
    });
  }
  const overTcp = (path: string) => ask({ host: '127.0.0.1', port: server.port }, path);
  const overSocket = (path: string) => ask({ socketPath: join(folder, 'weft.sock') }, path);

  const routes = Object.entries(ROUTES).map(([name, { path }]) => {
    return name === 'trace' ? `${path}?dst=10.244.2.2` : path;
  });
  for (const path of ['/metrics', '/healthz', '/readyz', '/throws', '/rejects', ...routes]) {
    test(`at ${path} is a 500, and is told`, async () => {
      const { status, body } = await overTcp(path);
      // The history is kept by the API itself, and has nothing in it.
      assert.equal(status, path === ROUTES.history.path ? 200 : 500);
      assert.deepEqual(rawControls(body), []);
      if (status === 200) return;
      assert.match(body, /no such thing\\u001b\[31m/);
      assert.ok(told.length > 0);
      for (const sentence of told) assert.deepEqual(rawControls(sentence), []);
    });
  }
  const streams = Object.values(STREAMS).map(({ path }) => path);
  for (const path of [...routes, ...streams]) {
    test(`at ${path} on the socket is one as well`, async () => {
      const { status } = await overSocket(path);
      assert.equal(status, path === ROUTES.history.path ? 200 : 500);
    });
  }

  test('in the middle of an answer ends the connection', async () => {
    await assert.rejects(overTcp('/half'), /aborted|socket hang up/);
    assert.equal((await overTcp('/nothing')).status, 404);
  });

  test('is told once where a thousand ask', async () => {
    for (let each = 0; each < 100; each++) await overTcp('/throws');
    assert.equal(told.filter((sentence) => sentence.includes('/throws')).length, 1);
  });

  test('is nobody else s: clients that go away in the middle are no fault', async () => {
    for (let each = 0; each < 20; each++) {
      const asked = request({ host: '127.0.0.1', port: server.port, path: '/nothing' });
      asked.on('error', () => {}).end(() => asked.destroy());
      const socket = connect(server.port, '127.0.0.1').on('error', () => {});
      socket.write('GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', () =>
        socket.resetAndDestroy(),
      );
    }
    await waitFor('an answer', async () => (await overTcp('/nothing')).status === 404);
    assert.deepEqual(
      told.filter((sentence) => sentence.includes('/nothing')),
      [],
    );
  });
});

describe('a page with a hole', () => {
  test('is served without it, which is said at the start', async () => {
    const folder = makeFolder('hole');
    const told: string[] = [];
    try {
      writeFileSync(join(folder, 'index.html'), '<!doctype html>');
      symlinkSync(join(folder, 'gone'), join(folder, 'hole.js'));
      mkdirSync(join(folder, 'panel'));
      symlinkSync('loop', join(folder, 'loop'));
      chmodSync(join(folder, 'panel'), 0o700);
      const files = serveFiles(folder, (sentence) => told.push(sentence));
      assert.equal(told.length, 1, `one file, before anybody asks: ${told}`);
      assert.match(told[0]!, /hole\.js is not served: ENOENT/);
      rmSync(folder, { recursive: true });
      const server = await serveHttp({
        ...{ host: '127.0.0.1', port: 0, unhealthy: () => [], notReady: () => [] },
        mounted: [files],
      });
      const status = async (path: string) =>
        (await fetch(`http://127.0.0.1:${server.port}${path}`)).status;
      assert.deepEqual([await status('/'), await status('/page/hole.js')], [200, 404]);
      server.close();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
