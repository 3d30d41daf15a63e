import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { manglesEqualRuns } from '../../src/dataplane/ladder.ts';

describe('ladder', () => {
  for (const kernel of ['7.0.0', '7.0.12-generic', '7.1.0', '7.1.4-2-pve']) {
    it(`sends no runs on ${kernel}, which mangles equal ones`, () => {
      assert.equal(manglesEqualRuns(kernel), true);
    });
  }
  for (const kernel of ['6.17.3', '6.18.44', '7.1.5', '7.2.0-rc1', '5.4.0', '17.0.1']) {
    it(`sends runs on ${kernel}`, () => assert.equal(manglesEqualRuns(kernel), false));
  }
});
