/** Clients that hold on to what they have: others are answered meanwhile, whatever they do. */
import assert from 'node:assert/strict';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { Connections, LIMITS, sourceOf } from '../../src/http/connections.ts';
import { type HttpServer, serveHttp } from '../../src/observe/http.ts';
import { waitFor } from '../support/waitfor.ts';

/** Twice as many as the server takes, from 32 addresses, of which loopback has a /8. */
const SOURCES = Array.from({ length: 32 }, (_, at) => `127.0.1.${at + 1}`);
const EACH = (2 * LIMITS.connections) / SOURCES.length;
/** More than the kernel's buffers of a connection take. */
const LONG = 'x'.repeat(4 * 1024 * 1024);

type Slow = (socket: Socket) => void;

/** What a client does that never lets go. */
const KINDS: Readonly<Record<string, Slow>> = {
  'says nothing': () => {},
  'never ends its request line': (socket) => socket.write('GET /met'),
  'never ends its headers': (socket) => {
    socket.write('GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ');
  },
  'sends a header byte at a time': (socket) => {
    socket.write('GET /metrics HTTP/1.1\r\nX: ');
    const timer = setInterval(() => socket.write('a'), 200);
    socket.once('close', () => clearInterval(timer));
  },
  'keeps its connection and asks no more': (socket) => {
    socket.resume().write('GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  },
  'sends a body that never ends': (socket) => {
    socket.write('GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\nx');
  },
  'reads nothing of a long answer': (socket) => {
    socket.pause().write('GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  },
  'asks fifty times at once and reads nothing': (socket) => {
    const request = 'GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
    socket.pause().write(request.repeat(50));
  },
  'closes its half of the connection': (socket) => {
    socket.pause().end('GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n');
  },
};

describe('slow clients', () => {
  let server: HttpServer;
  let clients: Socket[];

  beforeEach(async () => {
    clients = [];
    server = await serveHttp({
      ...{ host: '127.0.0.1', port: 0, unhealthy: () => [], notReady: () => [] },
      metrics: { text: async () => LONG, contentType: 'text/plain' },
    });
  });
  afterEach(() => {
    for (const client of clients) client.destroy();
    server.close();
  });

  function hold(source: string, slow: Slow): Promise<void> {
    return new Promise((resolve) => {
      const options = { port: server.port, host: '127.0.0.1', localAddress: source };
      const socket = connect({ ...options, allowHalfOpen: true });
      clients.push(socket);
      socket.on('error', () => resolve());
      socket.once('close', () => resolve());
      socket.once('connect', () => {
        slow(socket);
        resolve();
      });
    });
  }

  function status(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const options = { port: server.port, host: '127.0.0.1', path, agent: false };
      get(options, (answer) => {
        answer.resume().once('end', () => resolve(answer.statusCode!));
      }).once('error', reject);
    });
  }

  for (const [what, slow] of Object.entries(KINDS)) {
    test(`that each ${what} keep nobody out`, async () => {
      for (let each = 0; each < EACH; each++) {
        await Promise.all(SOURCES.map((source) => hold(source, slow)));
        for (const path of ['/healthz', '/readyz', '/metrics']) {
          assert.equal(await status(path), 200, path);
        }
      }
    });
  }

  test('of one address keep nobody out, nor one of their own', async () => {
    const own = '127.0.0.1';
    const slow = KINDS['never ends its headers']!;
    await Promise.all(Array.from({ length: 4 * LIMITS.perSource }, () => hold(own, slow)));
    for (const path of ['/healthz', '/readyz', '/metrics']) assert.equal(await status(path), 200);
    const open = () =>
      clients.filter(({ destroyed, readableEnded }) => !destroyed && !readableEnded);
    for (const client of clients) client.resume();
    await waitFor('the limit', () => open().length <= LIMITS.perSource);
  });

  test('are cut off in the end', async () => {
    await Promise.all(Object.values(KINDS).map((slow) => hold('127.0.0.1', slow)));
    const ended = clients.filter((client) => client.isPaused() === false);
    const open = () => ended.filter(({ destroyed, readableEnded }) => !destroyed && !readableEnded);
    for (const client of ended) client.resume();
    await waitFor('the end', () => open().length === 0);
  });
});

describe('who is connected', () => {
  const fake = (remoteAddress: string, writableLength = 0) => {
    const socket = { remoteAddress, writableLength, gone: false, once: () => {} };
    return Object.assign(socket, { destroy: () => Object.assign(socket, { gone: true }) });
  };
  const as = (socket: ReturnType<typeof fake>) => socket as unknown as Socket;
  const limits = { connections: 4, perSource: 3, unreadBytes: 100 };

  test('makes way: the oldest that asks, of the source that has most', () => {
    const connections = new Connections(limits);
    const [one, a1, a2, b1] = ['c', 'a', 'a', 'b'].map((source) => fake(source)) as [
      ReturnType<typeof fake>,
      ...ReturnType<typeof fake>[],
    ];
    for (const socket of [one, a1!, a2!, b1!]) connections.admit(as(socket));
    connections.begin(as(a1!));
    const next = fake('d');
    connections.admit(as(next));
    assert.deepEqual(
      [one, a1!, a2!, b1!, next].map(({ gone }) => gone),
      [...[true, false, false, false, false]],
    );
  });

  test('never makes a stream end', () => {
    const connections = new Connections(limits);
    const streams = Array.from({ length: 4 }, (_, at) => fake(`s${at}`));
    for (const socket of streams) {
      connections.admit(as(socket));
      connections.begin(as(socket));
      connections.stream(as(socket));
    }
    const next = fake('d');
    connections.admit(as(next));
    assert.deepEqual(
      [...streams, next].map(({ gone }) => gone),
      [false, false, false, false, true],
    );
  });

  test('leaves only so much unread', () => {
    const connections = new Connections(limits);
    const readers = [fake('a', 60), fake('b', 60)];
    for (const socket of readers) {
      connections.admit(as(socket));
      connections.begin(as(socket));
    }
    const next = fake('c');
    connections.admit(as(next));
    connections.begin(as(next));
    assert.deepEqual(
      readers.map(({ gone }) => gone),
      [true, false],
    );
  });

  test('is one client by its address, or its /64', () => {
    const cases: [string | undefined, string][] = [
      ['192.0.2.1', '192.0.2.1'],
      ['::ffff:192.0.2.1', '192.0.2.1'],
      ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
      ['2001:db8::6', '2001:db8:0:0::/64'],
      ['fe80::1%eth0', 'fe80:0:0:0::/64'],
      ['::1', '0:0:0:0::/64'],
      [undefined, 'unix'],
    ];
    for (const [address, source] of cases) assert.equal(sourceOf(address), source);
  });
});
