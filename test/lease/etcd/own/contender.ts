/**
 * One of several processes that claim leases at the same instants: `ENDPOINT PUBLIC-IP START
 * ROUNDS`, with START as Unix time in milliseconds. Prints the subnet of each round.
 */
import { waitFor } from '../../../support/waitfor.ts';
import { networkOf, Tenant } from './tenant.ts';

const ROUND_MS = 150;

const [endpoint = '', publicAddress = '', start = '', rounds = ''] = process.argv.slice(2);
const network = networkOf({ Network: '10.9.0.0/22', SubnetLen: 24 });

for (let round = 0; round < Number(rounds); round++) {
  const instant = Number(start) + round * ROUND_MS;
  await waitFor('the instant', () => Date.now() >= instant, { every: 1 });
  const prefix = `/process/${round}`;
  const previous = '10.9.2.1/24';
  const tenant = new Tenant({ endpoints: [endpoint], prefix, network, previous, publicAddress });
  process.stdout.write(`${await tenant.holds()}\n`);
  await tenant.stop();
}
