import assert from 'node:assert/strict';
import { connect } from 'node:net';
import test, { after, before, describe } from 'node:test';
import { judgeHost } from '../../src/http/host.ts';
import { type HttpServer, serveHttp } from '../../src/observe/http.ts';
import { HOSTILE, rawControls } from '../support/hostile.ts';

const ALLOWED = ['weft.kube-system.svc', '*.nodes.example'];

describe('the Host of a request', () => {
  const cases: [host: string, status: number | undefined][] = [
    ['127.0.0.1', undefined],
    ['127.0.0.1:8286', undefined],
    ['203.0.113.9:80', undefined],
    ['[::1]:8286', undefined],
    ['[2001:db8::1]', undefined],
    ['[::ffff:192.0.2.1]:1', undefined],
    ['localhost', undefined],
    ['LOCALHOST:8286', undefined],
    ['localhost.', undefined],
    ['weft.kube-system.svc:8286', undefined],
    ['Weft.Kube-System.SVC.', undefined],
    ['a.nodes.example', undefined],
    ['a.b.nodes.example', undefined],
    ['nodes.example', 421],
    ['evilnodes.example', 421],
    ['weft.kube-system.svc.evil.example', 421],
    ['evil.example', 421],
    ['localhost.evil.example', 421],
    ['127.0.0.1.evil.example', 421],
    ['127.0.0.1.', undefined],
    ['2130706433', 421],
    ['0x7f.1', 421],
    ['127.1', 421],
    ['', 400],
    [':8286', 400],
    ['[::1', 400],
    ['::1', 400],
    ['[fe80::1%eth0]', 400],
    ['127.0.0.1:8286:1', 400],
    ['127.0.0.1, evil.example', 400],
    ['evil.example@127.0.0.1', 400],
    ['127.0.0.1/evil', 400],
    ['a b', 400],
    [HOSTILE, 400],
  ];
  for (const [host, status] of cases) {
    test(`'${JSON.stringify(host).slice(1, 40)}' is ${status ?? 'answered'}`, () => {
      const request = { rawHeaders: ['hOsT', host], httpVersion: '1.1', url: '/metrics' };
      const refusal = judgeHost(request, ALLOWED);
      assert.equal(refusal?.status, status);
      if (status === 421) assert.match(refusal!.sentence, /--http-allowed-host \S+$/);
      assert.deepEqual(rawControls(refusal?.sentence ?? ''), []);
    });
  }

  test('is one, and may be missing in HTTP/1.0 alone', () => {
    const judge = (rawHeaders: string[], httpVersion = '1.1', url = '/') =>
      judgeHost({ rawHeaders, httpVersion, url }, [])?.status;
    assert.equal(judge(['Host', '127.0.0.1', 'host', 'evil.example']), 400);
    assert.equal(judge([]), 400);
    assert.equal(judge([], '1.0'), undefined);
    assert.equal(judge(['Host', 'evil.example'], '1.0'), 421);
    assert.equal(judge(['Host', '127.0.0.1'], '1.1', 'http://evil.example/metrics'), 400);
  });
});

describe('a server with a name', () => {
  let server: HttpServer;
  before(async () => {
    server = await serveHttp({
      ...{ host: '127.0.0.1', port: 0, unhealthy: () => [], notReady: () => [] },
      metrics: { text: async () => 'weft_ready 1\n', contentType: 'text/plain' },
      allowedHosts: ALLOWED,
    });
  });
  after(() => server.close());

  async function raw(request: string): Promise<string> {
    const socket = connect(server.port, '127.0.0.1');
    socket.end(request);
    let answer = '';
    for await (const piece of socket.setEncoding('latin1')) answer += piece;
    return answer;
  }
  const get = (host: string, path = '/metrics') =>
    raw(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);

  test('refuses others on every path, and says how to allow them', async () => {
    for (const path of ['/', '/metrics', '/healthz', '/readyz', '/v1/status', '/page/x.js']) {
      const answer = await get('evil.example', path);
      assert.match(answer, /^HTTP\/1\.1 421 /);
      assert.match(answer, /start weft with --http-allowed-host evil\.example\n/);
    }
    assert.match(await get('weft.kube-system.svc:8286'), /^HTTP\/1\.1 200 /);
  });

  test('gives no script of another origin a right', async () => {
    const request = (method: string) =>
      `${method} /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n` +
      'Access-Control-Request-Method: GET\r\nConnection: close\r\n\r\n';
    for (const method of ['GET', 'OPTIONS']) {
      assert.doesNotMatch(await raw(request(method)), /access-control/i);
    }
  });
});
