import type { Config } from '../config.ts';
import { createEtcdSource } from '../lease/etcd.ts';
import { createFileSource } from '../lease/file.ts';
import type { LeaseSource } from '../lease/source.ts';
import type { Logger } from '../log.ts';

/** The source of leases that the options name. */
export function createSource(config: Config, log: Logger): LeaseSource {
  if (config.leases !== undefined) return createFileSource({ path: config.leases, log });
  throw new Error('etcd');
}
