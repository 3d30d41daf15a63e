import type { Config } from '../config.ts';
import { createEtcdRegistry } from '../lease/etcd/registry.ts';
import { createEtcdSource, type EtcdSourceOptions } from '../lease/etcd/source.ts';
import { createFileSource } from '../lease/file.ts';
import type { LeaseRegistry } from '../lease/registry.ts';
import type { LeaseSource } from '../lease/source.ts';
import type { Logger } from '../log.ts';

export { awaitNetworkConfig } from '../lease/await-config.ts';

/** The source of leases that the options name; etcd where they name none, as flannel's. */
export function createSource(config: Config, log: Logger): LeaseSource {
  if (config.leases !== undefined) return createFileSource({ path: config.leases, log });
  return createEtcdSource(etcdOptions(config, log));
}

/** Where this node's own lease is claimed and kept. */
export function createRegistry(config: Config, log: Logger): LeaseRegistry {
  return createEtcdRegistry(etcdOptions(config, log));
}

function etcdOptions(config: Config, log: Logger): EtcdSourceOptions {
  return {
    endpoints: config.etcdEndpoints,
    prefix: config.etcdPrefix,
    caFile: config.etcdCaFile,
    certFile: config.etcdCertFile,
    keyFile: config.etcdKeyFile,
    username: config.etcdUsername,
    password: config.etcdPassword,
    passwordFile: config.etcdPasswordFile,
    log,
  };
}
