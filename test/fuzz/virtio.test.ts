/** Any ten bytes are a virtio_net_hdr, and what is written is read back. */
import assert from 'node:assert/strict';
import * as virtio from '../../src/wire/virtio.ts';
import { fuzz } from '../support/fuzz.ts';
import { virtioHeader } from '../support/slow-segment.ts';

const LENGTH = virtio.VIRTIO_HEADER_LENGTH;
/** Odd, so that no field is aligned. */
const AT = 7;

function check(given: Uint8Array): string {
  const bytes = new Uint8Array(AT + LENGTH + AT).fill(0xa5);
  bytes.set(given.subarray(0, LENGTH), AT);
  const before = bytes.slice();
  const fields = {
    flags: virtio.headerFlags(bytes, AT),
    gsoType: virtio.gsoType(bytes, AT),
    headerLength: virtio.guessedHeaderLength(bytes, AT),
    gsoSize: virtio.gsoSize(bytes, AT),
    checksumStart: virtio.checksumStart(bytes, AT),
    checksumOffset: virtio.checksumOffset(bytes, AT),
  };
  assert.deepEqual(bytes, before, 'reading changes nothing');
  assert.deepEqual(virtioHeader(fields), bytes.slice(AT, AT + LENGTH), 'as the twin spells it');
  bytes.fill(0x5a, AT, AT + LENGTH);
  virtio.writeVirtio(bytes, AT, fields);
  assert.deepEqual(bytes, before, 'written back, and nothing beside it');
  return fields.gsoType === 0 ? 'plain' : 'superpacket';
}

fuzz({
  name: 'virtio',
  generate: (random) => random.bytes(random.oneIn(4) ? random.below(LENGTH) : LENGTH),
  check,
  kinds: ['plain', 'superpacket'],
});
