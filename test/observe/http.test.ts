import assert from 'node:assert/strict';
import { connect } from 'node:net';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { type HttpServer, ListenError, serveHttp } from '../../src/observe/http.ts';

describe('the HTTP server', () => {
  let server: HttpServer;
  let unhealthy: string[];
  let notReady: string[];
  let metrics: () => Promise<string>;

  const options = () => ({
    host: '127.0.0.1',
    port: 0,
    metrics: { text: () => metrics(), contentType: 'text/plain; version=0.0.4' },
    unhealthy: () => unhealthy,
    notReady: () => notReady,
  });

  beforeEach(async () => {
    unhealthy = [];
    notReady = [];
    metrics = async () => 'weft_ready 1\n';
    server = await serveHttp(options());
  });
  afterEach(() => server.close());

  async function get(path: string, method = 'GET'): Promise<[number, string]> {
    const answer = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return [answer.status, await answer.text()];
  }

  test('serves metrics with their content type', async () => {
    const answer = await fetch(`http://127.0.0.1:${server.port}/metrics?format=text`);
    assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4');
    assert.equal(await answer.text(), 'weft_ready 1\n');
  });

  test('says ok, or every reason on a line of its own', async () => {
    assert.deepEqual(await get('/healthz'), [200, 'ok\n']);
    assert.deepEqual(await get('/readyz'), [200, 'ok\n']);
    unhealthy = ['tx worker 0 hangs'];
    notReady = ['flannel0 is down', 'no leases yet'];
    assert.deepEqual(await get('/healthz'), [503, 'tx worker 0 hangs\n']);
    assert.deepEqual(await get('/readyz'), [503, 'flannel0 is down\nno leases yet\n']);
  });

  test('serves health alone where it is given no metrics', async () => {
    const { metrics: _, ...healthOnly } = options();
    const other = await serveHttp(healthOnly);
    try {
      const status = async (path: string) =>
        (await fetch(`http://127.0.0.1:${other.port}${path}`)).status;
      assert.deepEqual([await status('/healthz'), await status('/metrics')], [200, 404]);
    } finally {
      other.close();
    }
  });

  const refused: [string, string, number][] = [
    ['GET', '/', 404],
    ['GET', '/metrics/', 404],
    ['GET', '/../etc/passwd', 404],
    ['POST', '/nothing', 404],
    ['POST', '/metrics', 405],
    ['DELETE', '/healthz', 405],
    ['HEAD', '/readyz', 200],
  ];
  for (const [method, path, status] of refused) {
    test(`${method} ${path} is ${status}`, async () => {
      assert.equal((await get(path, method))[0], status);
    });
  }

  test('metrics that fail are an error of that request only', async () => {
    metrics = async () => {
      throw new Error('no such counter');
    };
    assert.deepEqual(await get('/metrics'), [500, '/metrics failed: no such counter\n']);
    assert.equal((await get('/healthz'))[0], 200);
  });

  test('a taken port is named, with what to do', async () => {
    await assert.rejects(serveHttp({ ...options(), port: server.port }), (error) => {
      assert.ok(error instanceof ListenError);
      assert.match(
        error.message,
        new RegExp(`127.0.0.1:${server.port}: the port is taken by .*\\(this very process\\)`),
      );
      return true;
    });
    await assert.rejects(
      serveHttp({ ...options(), host: '203.0.113.9' }),
      /no interface has that address/,
    );
  });

  test('clients that never finish are cut off, and others are served meanwhile', async () => {
    const slow = Array.from({ length: 20 }, () => connect(server.port, '127.0.0.1'));
    const ends = slow.map((socket) => {
      socket.write('GET /metrics HTTP/1.1\r\nHost: weft\r\nX-Slow: ');
      return new Promise<void>((resolve) => {
        socket.on('error', () => {});
        socket.on('data', () => {});
        socket.once('close', () => resolve());
      });
    });
    assert.equal((await get('/healthz'))[0], 200);
    await Promise.all(ends);
  });

  test('closing ends connections that are kept alive', async () => {
    const socket = connect(server.port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    server.close();
    await closed;
  });
});
