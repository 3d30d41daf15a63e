import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AF_INET, AF_INET6 } from '../../src/sys/constants.ts';
import * as sockaddr from '../../src/sys/sockaddr.ts';
import { formatAddress4, formatAddress6 } from '../../src/wire/address.ts';
import { type Random, withSeed } from '../support/random.ts';

const AT = 3;

function wordsOf(address: string, port = 8285): Int32Array {
  const words = new Int32Array(AT + sockaddr.SOCKADDR_WORDS + 1).fill(-1);
  sockaddr.writeSockaddr(words, AT, address, port);
  assert.deepEqual([words[AT - 1], words[AT + sockaddr.SOCKADDR_WORDS]], [-1, -1], 'beside it');
  return words;
}

/** The bytes as the kernel reads them. */
function bytesOf(words: Int32Array): DataView {
  return new DataView(words.buffer, 4 * AT, sockaddr.SOCKADDR_SIZE);
}

function anyAddress(random: Random): string {
  if (random.oneIn(2)) return formatAddress4(random.uint32());
  const bytes = random.bytes(16);
  if (random.oneIn(3)) bytes.fill(0, random.below(8), 8 + random.below(8));
  return formatAddress6(bytes);
}

describe('socket address', () => {
  test('lies as netinet/in.h has it, with nothing after a sockaddr_in', () => {
    const view = bytesOf(wordsOf('192.0.2.1'));
    assert.equal(view.getUint16(0, true), AF_INET);
    assert.equal(view.getUint16(2), 8285);
    assert.equal(view.getUint32(4), 0xc0000201);
    for (let at = 8; at < sockaddr.SOCKADDR_SIZE; at++) assert.equal(view.getUint8(at), 0);
  });

  test('lies as netinet/in.h has a sockaddr_in6', () => {
    const view = bytesOf(wordsOf('2001:db8::1:2', 0xabcd));
    assert.equal(view.getUint16(0, true), AF_INET6);
    assert.equal(view.getUint16(2), 0xabcd);
    assert.deepEqual([view.getUint32(4), view.getUint32(24)], [0, 0], 'flow info and scope');
    const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(8 + 2 * i));
    assert.deepEqual(groups, [0x2001, 0xdb8, 0, 0, 0, 0, 1, 2]);
  });

  test('comes back as the text it was, whatever the family', () => {
    withSeed((random) => {
      for (let round = 0; round < 20_000; round++) {
        const address = anyAddress(random);
        const words = wordsOf(address, random.below(65_536));
        assert.equal(sockaddr.formatSockaddr(words, AT), address);
      }
    });
    assert.equal(sockaddr.formatSockaddr(wordsOf(''), AT), '');
    assert.equal(sockaddr.familyOf(sockaddr.NO_ADDRESS, 0), 0);
  });

  test('names the same host for the same address only, whatever the port', () => {
    withSeed((random) => {
      for (let round = 0; round < 20_000; round++) {
        const [one, other] = [anyAddress(random), anyAddress(random)];
        const [a, b] = [wordsOf(one, 1), wordsOf(one, 2)];
        assert.ok(sockaddr.sameHost(a, AT, b, AT));
        assert.equal(sockaddr.hostBits(a, AT), sockaddr.hostBits(b, AT));
        assert.equal(sockaddr.sameHost(a, AT, wordsOf(other), AT), one === other);
      }
    });
    // The same bits in the place of an address, in two families.
    const mapped = wordsOf('::ffff:192.0.2.1');
    assert.ok(!sockaddr.sameHost(mapped, AT, wordsOf('192.0.2.1'), AT));
    // One bit anywhere in an address makes another host.
    for (let bit = 0; bit < 128; bit++) {
      const turned = wordsOf('2001:db8::1');
      turned[AT + 2 + (bit >> 5)] ^= 1 << (bit & 31);
      assert.ok(!sockaddr.sameHost(turned, AT, wordsOf('2001:db8::1'), AT), `bit ${bit}`);
    }
  });
});
