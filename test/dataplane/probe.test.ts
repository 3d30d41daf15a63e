import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createProbe } from '../../src/dataplane/in/probe.ts';
import { EINVAL, EIO } from '../../src/sys/errno.ts';
import { createSlab, layOut } from '../../src/sys/memory.ts';
import { headerChecksumValid, totalLength } from '../../src/wire/ipv4.ts';

/** A TUN that answers every write with one errno, and remembers the slab it was pointed at. */
function probing(code: number) {
  const slab = createSlab(4096);
  let writes = 0;
  const writer = {
    writePacket: () => assert.fail('not an ordinary packet'),
    writeVector: () => {
      writes++;
      return code;
    },
  };
  const probe = createProbe(slab, layOut(slab), writer);
  return { slab, probe, writes: () => writes };
}

describe('the probe for superpackets', () => {
  it('takes EINVAL for a no, and nothing else', () => {
    for (const kind of ['tcp', 'udp'] as const) {
      assert.equal(probing(EINVAL).probe.takes(kind), false);
      assert.equal(probing(EIO).probe.takes(kind), true, 'a device that is down says nothing');
      const accepted = probing(0);
      assert.equal(accepted.probe.takes(kind), true);
      assert.equal(accepted.writes(), 1);
    }
  });

  it('writes what no kernel lets past its IP layer', () => {
    const { slab, probe } = probing(0);
    for (const [kind, length] of [
      ['tcp', 240],
      ['udp', 228],
    ] as const) {
      probe.takes(kind);
      const at = slab.bytes.indexOf(0x45);
      assert.equal(totalLength(slab.bytes, at), length);
      assert.equal(headerChecksumValid(slab.bytes, at), false);
    }
  });
});
