/** What went wrong, coarse enough to log once a kind. */
export type EtcdTrouble =
  | 'unreachable'
  | 'silent'
  | 'tls'
  | 'login'
  | 'permission'
  | 'no_leader'
  | 'compacted'
  | 'too_large'
  | 'too_many'
  | 'no_space'
  | 'no_lease'
  | 'contended'
  | 'files'
  | 'ended'
  | 'other';

/** An operation on etcd that failed; always worth a retry, for all of these can be mended there. */
export class EtcdError extends Error {
  readonly kind: EtcdTrouble;

  constructor(kind: EtcdTrouble, message: string) {
    super(message);
    this.name = 'EtcdError';
    this.kind = kind;
  }
}

/**
 * The text of an error → its kind and what to say of the endpoint after its name. gRPC and etcd
 * tell their errors apart by text alone once etcd3 has passed them on.
 */
export function explain(message: string): { kind: EtcdTrouble; what: string } {
  const text = message
    .replace(/^.*Last error: (Error: )?/, '')
    .replace(/\.? *Resolution note: *$/, '')
    .replace(/ \([0-9T:.-]+Z\)$/, '');
  for (const { kind, sign, cure } of EXPLANATIONS) {
    if (sign.test(text)) return { kind, what: `${cure}: ${text}` };
  }
  return { kind: 'other', what: `failed: ${text}` };
}

const EXPLANATIONS: readonly { kind: EtcdTrouble; sign: RegExp; cure: string }[] = [
  {
    kind: 'compacted',
    sign: /required revision has been compacted/,
    cure: 'compacted while listing',
  },
  { kind: 'login', sign: /invalid user ID or password/, cure: 'refuses the user or the password' },
  {
    kind: 'login',
    sign: /invalid auth token|revision in header is old/,
    cure: 'refuses the login',
  },
  {
    kind: 'permission',
    sign: /permission denied|user name is empty/i,
    cure:
      'lets this user not do what is needed; grant it read on the prefix, and where it holds ' +
      "the node's own lease readwrite",
  },
  { kind: 'no_leader', sign: /no leader/, cure: 'has lost its cluster' },
  { kind: 'too_large', sign: /larger than max/, cure: 'has an entry that is too large' },
  {
    kind: 'no_space',
    sign: /database space exceeded/,
    cure: 'is full and takes no writes; compact and defragment it, then clear its alarm',
  },
  { kind: 'no_lease', sign: /requested lease not found/, cure: 'no longer has our lease' },
  {
    kind: 'tls',
    sign: /certificate|SSL|TLS|ERR_TLS|altname|wrong version number/i,
    cure: 'does not agree on TLS with weft; check --etcd-cafile, --etcd-certfile and https://',
  },
  { kind: 'silent', sign: /DEADLINE_EXCEEDED|keepalive|ping timeout/i, cure: 'does not answer' },
  {
    // How a server that speaks TLS ends a plain connection.
    kind: 'unreachable',
    sign: /Failed to connect/,
    cure: 'cannot be reached; if it speaks TLS, write https://',
  },
  { kind: 'unreachable', sign: /UNAVAILABLE|ECONN|ENOTFOUND|EHOST/, cure: 'cannot be reached' },
];
