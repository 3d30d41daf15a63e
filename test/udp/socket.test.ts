import assert from 'node:assert/strict';
import test from 'node:test';
import { libc } from '../../src/sys/binding.ts';
import { SOCKADDR_WORDS, writeSockaddr } from '../../src/sys/sockaddr.ts';
import { pathMtu } from '../../src/udp/socket.ts';

const LOOPBACK = '127.0.0.1';
const DOCUMENTATION = '192.0.2.1';

function mtuTo(from: string, to: string): number {
  const words = new Int32Array(SOCKADDR_WORDS + 1);
  writeSockaddr(words, 1, to, 8285);
  return pathMtu(from, words, 1);
}

test('the path MTU is that of the route, and 0 where the kernel tells none, never an error', () => {
  assert.equal(mtuTo(LOOPBACK, LOOPBACK), 65_535);
  assert.equal(mtuTo('::1', '::1'), 65_536);
  // Not an address of ours to come from.
  assert.equal(mtuTo(DOCUMENTATION, LOOPBACK), 0);
  const original = libc.getsockopt;
  libc.getsockopt = () => -1;
  try {
    assert.equal(mtuTo(LOOPBACK, LOOPBACK), 0);
  } finally {
    libc.getsockopt = original;
  }
});
