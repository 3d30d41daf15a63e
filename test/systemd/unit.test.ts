import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '../support/maker.ts';
import { attempt } from '../support/process.ts';

const UNIT = fileURLToPath(new URL('../../../deploy/weft.service', import.meta.url));
/** Of systemd-analyze's scale to 10: "OK" ends at 5; a unit that says nothing has 9.6. */
const MOST_EXPOSURE = '25';

describe('the unit for systemd', () => {
  let folder: string;
  let unit: string;

  before(() => {
    folder = makeFolder('unit');
    unit = join(folder, 'weft.service');
    // Where weft is not installed, the program to start has to be another that exists.
    const text = readFileSync(UNIT, 'utf8').replace('/usr/local/bin/weft', process.execPath);
    writeFileSync(unit, text);
  });
  after(() => rmSync(folder, { recursive: true }));

  test('is one that systemd takes without a word', () => {
    const { status, stdout, stderr } = attempt(['systemd-analyze', 'verify', unit]);
    assert.deepEqual({ status, said: stdout + stderr }, { status: 0, said: '' });
  });

  test('leaves the service little of root', () => {
    const args = ['security', '--offline=true', `--threshold=${MOST_EXPOSURE}`, unit];
    const { status, stdout } = attempt(['systemd-analyze', '--no-pager', ...args]);
    assert.equal(status, 0, stdout);
  });
});
