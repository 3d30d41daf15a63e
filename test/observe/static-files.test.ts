import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { type HttpServer, serveHttp } from '../../src/observe/http.ts';
import { PAGE_FOLDER, serveFiles } from '../../src/observe/static-files.ts';
import { makeFolder } from '../support/maker.ts';

const metrics = { text: async () => '', contentType: 'text/plain' };
const quiet = { host: '127.0.0.1', port: 0, metrics };
const health = { unhealthy: () => [], notReady: () => [] };

describe('static files', () => {
  let folder: string;
  let server: HttpServer;

  before(async () => {
    folder = makeFolder('files');
    mkdirSync(join(folder, 'panel'));
    writeFileSync(join(folder, 'index.html'), '<!doctype html>');
    writeFileSync(join(folder, 'panel', 'a.js'), 'export {};');
    writeFileSync(join(folder, 'tsconfig.json'), '{}');
    server = await serveHttp({ ...quiet, ...health, mounted: [serveFiles(folder)] });
  });
  after(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  const get = (path: string, options: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${server.port}${path}`, options);

  test('have their type, and headers that let nothing else in', async () => {
    const answer = await get('/');
    assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8');
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    const policy = answer.headers.get('content-security-policy')!;
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    const script = await get('/page/panel/a.js');
    assert.equal(script.headers.get('content-type'), 'text/javascript; charset=utf-8');
    assert.equal(await script.text(), 'export {};');
  });

  test('are not sent again to who has them', async () => {
    const first = await get('/');
    const tag = first.headers.get('etag')!;
    assert.match(tag, /^"[\w-]{22}"$/);
    const again = await get('/', { headers: { 'If-None-Match': tag } });
    assert.deepEqual([again.status, await again.text()], [304, '']);
    const other = await get('/', { headers: { 'If-None-Match': '"x"' } });
    assert.equal(other.status, 200);
  });

  const refused: [string, string, number][] = [
    ['GET', '/page/../index.html', 404],
    ['GET', '/page/%2e%2e/index.html', 404],
    ['GET', '/page/tsconfig.json', 404],
    ['GET', '/page/', 404],
    ['GET', '/index.html', 404],
    ['POST', '/', 405],
    ['HEAD', '/', 200],
    ['GET', '/?x=1', 200],
  ];
  for (const [method, path, status] of refused) {
    test(`${method} ${path} is ${status}`, async () => {
      assert.equal((await get(path, { method })).status, status);
    });
  }

  test('may be missing: then there is no page', async () => {
    const none = serveFiles(join(folder, 'nothing'));
    const empty = await serveHttp({ ...quiet, ...health, mounted: [none] });
    const answer = await fetch(`http://127.0.0.1:${empty.port}/`);
    assert.equal(answer.status, 404);
    empty.close();
  });

  test('of the page are all built: what one asks for is there', async () => {
    const page = await serveHttp({ ...quiet, ...health, mounted: [serveFiles(PAGE_FOLDER)] });
    const origin = `http://127.0.0.1:${page.port}`;
    const waiting = ['/'];
    const seen = new Set<string>();
    for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
      if (seen.has(path)) continue;
      seen.add(path);
      const answer = await fetch(origin + path);
      assert.equal(answer.status, 200, path);
      const text = await answer.text();
      if (path === '/')
        assert.doesNotMatch(text, /<style|style=|<script(?! type="module" src)| on\w+=/);
      const named = text.matchAll(/(?:src|href)="(\/page\/[^"]+)"|from\s*['"](\.[^'"]+)['"]/g);
      for (const [, absolute, relative] of named) {
        waiting.push(absolute ?? new URL(relative!, origin + path).pathname);
      }
    }
    assert.ok(seen.has('/page/panel/uplot.js') && seen.has('/page/page.css'), [...seen].join());
    page.close();
  });
});
