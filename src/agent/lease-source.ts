import type { Config } from '../config.ts';
import { createEtcdSource } from '../lease/etcd/source.ts';
import { createFileSource } from '../lease/file.ts';

export type { LeaseRegistry } from '../lease/registry.ts';

import type { LeaseSource } from '../lease/source.ts';
import type { Logger } from '../log.ts';

/** The source of leases that the options name; etcd where they name none, as flannel's. */
export function createSource(config: Config, log: Logger): LeaseSource {
  if (config.leases !== undefined) return createFileSource({ path: config.leases, log });
  return createEtcdSource({
    endpoints: config.etcdEndpoints,
    prefix: config.etcdPrefix,
    caFile: config.etcdCaFile,
    certFile: config.etcdCertFile,
    keyFile: config.etcdKeyFile,
    username: config.etcdUsername,
    password: config.etcdPassword,
    passwordFile: config.etcdPasswordFile,
    log,
  });
}
