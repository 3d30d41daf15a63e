import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import koffi from 'koffi';
import { libc } from '../../src/sys/binding.ts';
import { POLLIN } from '../../src/sys/constants.ts';
import { createSlab, layOut } from '../../src/sys/memory.ts';
import {
  formatSockaddr,
  SOCKADDR_SIZE,
  SOCKADDR_WORDS,
  writeSockaddr,
} from '../../src/sys/sockaddr.ts';
import { createReceiver } from '../../src/udp/receive.ts';
import { createOutbox, createRuns, planRuns } from '../../src/udp/runs.ts';
import { createSender } from '../../src/udp/send.ts';
import { openSocket } from '../../src/udp/socket.ts';

const getsockname = koffi
  .load('libc.so.6')
  .func('int getsockname(int fd, void *name, void *length)');

/** The port that the kernel gave a socket. */
function portOf(fd: number): number {
  const name = new Uint8Array(SOCKADDR_SIZE);
  const length = new Uint8Array(Int32Array.of(SOCKADDR_SIZE).buffer);
  assert.equal(getsockname(fd, name, length), 0);
  return new DataView(name.buffer).getUint16(2);
}

/** Waits until the socket has something to read. */
function awaitReadable(fd: number): void {
  const poll = new Uint8Array(8);
  const fields = new DataView(poll.buffer);
  fields.setInt32(0, fd, true);
  fields.setInt16(4, POLLIN, true);
  assert.equal(libc.poll(poll, 1, 60_000), 1, 'a datagram within a minute');
}

describe('sending and receiving', () => {
  for (const address of ['127.0.0.1', '::1']) {
    test(`go by socket addresses, here of ${address}`, () => {
      const [from, to] = [openSocket(address, 0), openSocket(address, 0)];
      try {
        const slab = createSlab(2 * 1024 * 1024);
        const layout = layOut(slab);
        const outbox = createOutbox();
        const sender = createSender(slab, layout, outbox);
        const receiver = createReceiver(slab, layout, to, 4);
        const names = new Int32Array(2 * SOCKADDR_WORDS);
        writeSockaddr(names, SOCKADDR_WORDS, address, portOf(to));
        const at = layout.take(8, 8);
        slab.bytes.set([1, 2, 3, 4, 5], at);
        sender.addSlice(at, 5);
        outbox.size[0] = 5;
        outbox.peer[0] = SOCKADDR_WORDS;
        outbox.firstIovec[1] = 1;
        outbox.count = 1;
        const runs = createRuns();
        planRuns(outbox, 0, { datagrams: 1 }, runs);
        sender.wire(names, outbox, runs, 0, 1);
        assert.equal(sender.transmit(from, 0, 1), 1);
        awaitReadable(to);
        assert.equal(receiver.receive(), 1);
        assert.equal(receiver.length[0], 5);
        const got = slab.bytes.slice(receiver.at[0]!, receiver.at[0]! + 5);
        assert.deepEqual([...got], [1, 2, 3, 4, 5]);
        assert.equal(formatSockaddr(slab.words, receiver.sender[0]!), address);
      } finally {
        libc.close(from);
        libc.close(to);
      }
    });
  }
});
