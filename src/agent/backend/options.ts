import type { z } from 'zod';
import { foldKeys, spellings } from '../../lease/go-json.ts';
import type { BackendConfig } from '../../lease/network.ts';
import { Fault } from '../fault.ts';

/**
 * Reads the members of `Backend` in the network config; names in any case, unknown ones ignored,
 * as flannel does.
 * @throws Fault that names every fault
 */
export function readBackendOptions<Fields extends z.ZodObject>(
  type: string,
  fields: Fields,
  given: BackendConfig['options'],
): z.infer<Fields> {
  const checked = fields.safeParse(foldKeys(given, spellings(Object.keys(fields.shape))));
  if (checked.success) return checked.data;
  const faults = checked.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new Fault('configuration', `Backend ${type} of the network config: ${faults.join('; ')}`);
}
