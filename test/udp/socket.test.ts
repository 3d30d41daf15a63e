import assert from 'node:assert/strict';
import test from 'node:test';
import { libc } from '../../src/sys/binding.ts';
import { pathMtu } from '../../src/udp/socket.ts';

const LOOPBACK = 0x7f000001;
const DOCUMENTATION = 0xc0000201;

test('the path MTU is that of the route, and 0 where the kernel tells none, never an error', () => {
  assert.equal(pathMtu(LOOPBACK, LOOPBACK, 8285), 65_535);
  // Not an address of ours to come from.
  assert.equal(pathMtu(DOCUMENTATION, LOOPBACK, 8285), 0);
  const original = libc.getsockopt;
  libc.getsockopt = () => -1;
  try {
    assert.equal(pathMtu(LOOPBACK, LOOPBACK, 8285), 0);
  } finally {
    libc.getsockopt = original;
  }
});
