import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { propagateCongestion } from '../../src/dataplane/in/congestion.ts';
import { goodDatagram } from '../support/datagrams.ts';
import { slowSum } from '../support/slow-checksum.ts';

/** RFC 6040 §4.2, figure 4: what leaves a decapsulator, by inner field and then by outer. */
const FIELDS = ['Not-ECT', 'ECT(1)', 'ECT(0)', 'CE'] as const;
const DROPPED = 'dropped';
const FIGURE: Readonly<Record<string, readonly string[]>> = {
  'Not-ECT': ['Not-ECT', 'Not-ECT', 'Not-ECT', DROPPED],
  'ECT(1)': ['ECT(1)', 'ECT(1)', 'ECT(1)', 'CE'],
  'ECT(0)': ['ECT(0)', 'ECT(1)', 'ECT(0)', 'CE'],
  CE: ['CE', 'CE', 'CE', 'CE'],
};
/** Expedited forwarding: what else is in the byte must stay. */
const DSCP = 46 << 2;

for (const [inner, row] of Object.entries(FIGURE)) {
  describe(`an inner ${inner}`, () => {
    for (const [outer, leaving] of row.entries()) {
      it(`under an outer ${FIELDS[outer]} is ${leaving}`, () => {
        const field = FIELDS.indexOf(inner as (typeof FIELDS)[number]);
        for (const dscp of [0, DSCP]) {
          const packet = goodDatagram({ typeOfService: dscp | field });
          const changed = packet.slice();
          // The outer DSCP is the underlay's own business.
          const kept = propagateCongestion(changed, 0, 0x28 | outer);
          assert.equal(kept, leaving !== DROPPED);
          const expected = kept ? FIELDS.indexOf(leaving as (typeof FIELDS)[number]) : field;
          assert.equal(changed[1], dscp | expected);
          assert.equal(slowSum(changed, 0, 20), 0xffff, 'header checksum');
          assert.deepEqual(changed.with(1, 0).fill(0, 10, 12), packet.with(1, 0).fill(0, 10, 12));
        }
      });
    }
  });
}
