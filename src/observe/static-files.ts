import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Trouble } from '../http/boundary.ts';
import type { Mounted } from './http.ts';

/** Where the build puts the status page. */
export const PAGE_FOLDER = fileURLToPath(new URL('../page', import.meta.url));

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Nothing but our own files, no inline script or style, and no page of others around it. */
const POLICY = [
  "default-src 'none'",
  ...["script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'"],
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join('; ');

const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  // Asked for again each time, and answered by 304 unless weft was replaced by another version.
  'Cache-Control': 'no-cache',
};

interface StaticFile {
  readonly body: Buffer;
  readonly type: string;
  readonly tag: string;
}

/**
 * Serves the files of a folder, index.html as `/` and the rest below `/page/`. The folder is read
 * whole, now: a path of a request is looked up, and never opened.
 * @param trouble hears of what cannot be read, and is not served
 */
export function serveFiles(folder: string, trouble: Trouble = () => {}): Mounted {
  const files = readFiles(folder, trouble);
  return (request, response) => {
    const path = (request.url ?? '').split('?')[0]!;
    if (path !== '/' && !path.startsWith('/page/')) return false;
    const file = files.get(path);
    if (file === undefined) return false;
    answer(file, request, response);
    return true;
  };
}

function answer(file: StaticFile, request: IncomingMessage, response: ServerResponse): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { ...HEADERS, Allow: 'GET, HEAD' }).end();
    return;
  }
  const headers = { ...HEADERS, 'Content-Type': file.type, ETag: file.tag };
  if (request.headers['if-none-match'] === file.tag) {
    response.writeHead(304, headers).end();
    return;
  }
  response.writeHead(200, { ...headers, 'Content-Length': file.body.length }).end(file.body);
}

function readFiles(folder: string, trouble: Trouble): Map<string, StaticFile> {
  const files = new Map<string, StaticFile>();
  for (const path of list(folder, trouble)) {
    const type = CONTENT_TYPES[extname(path)];
    if (type === undefined) continue;
    const body = attempt(path, () => readFileSync(path), trouble);
    if (body === undefined) continue;
    const tag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
    const name = relative(folder, path).split(sep).join('/');
    files.set(name === 'index.html' ? '/' : `/page/${name}`, { body, type, tag });
  }
  return files;
}

/** What the folder and those below it have; what cannot be read leaves a hole in the page alone. */
function list(folder: string, trouble: Trouble): string[] {
  const entries = attempt(folder, () => readdirSync(folder, { withFileTypes: true }), trouble);
  return (entries ?? []).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? list(path, trouble) : [path];
  });
}

function attempt<Found>(path: string, read: () => Found, trouble: Trouble): Found | undefined {
  try {
    return read();
  } catch (error) {
    const { message } = error as Error;
    trouble(`status page: ${path} is not served: ${message}; the rest is. Install weft again`);
    return undefined;
  }
}
