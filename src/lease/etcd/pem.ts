import { createPrivateKey, X509Certificate } from 'node:crypto';

/** Files in PEM form (RFC 7468), and what else such files turn out to be. */

/** What stands between one BEGIN line and its END, with both. */
export interface PemBlock {
  readonly label: string;
  readonly text: string;
}

const BEGIN = '-----BEGIN ';

/** The blocks of a text in their order, and the label of one that is cut off. */
export function readBlocks(text: string): { blocks: PemBlock[]; cutOff: string | undefined } {
  const blocks: PemBlock[] = [];
  for (let at = text.indexOf(BEGIN); at >= 0; ) {
    const end = text.indexOf('-----', at + BEGIN.length);
    const label = end < 0 ? '' : text.slice(at + BEGIN.length, end);
    const last = `-----END ${label}-----`;
    const stop = text.indexOf(last, at);
    if (end < 0 || stop < 0) return { blocks, cutOff: label };
    blocks.push({ label, text: `${text.slice(at, stop)}${last}\n` });
    at = text.indexOf(BEGIN, stop + last.length);
  }
  return { blocks, cutOff: undefined };
}

export const isCertificate = ({ label }: PemBlock): boolean =>
  label === 'CERTIFICATE' || label === 'X509 CERTIFICATE';

export const isKey = ({ label }: PemBlock): boolean =>
  label.endsWith('PRIVATE KEY') && label !== 'OPENSSH PRIVATE KEY';

/** PKCS#8's form, and the older one of OpenSSL. */
export const isEncrypted = ({ label, text }: PemBlock): boolean =>
  label === 'ENCRYPTED PRIVATE KEY' || /^Proc-Type: 4,ENCRYPTED/m.test(text);

/** Labels whose cure is known; the sentence goes on after "holds". */
const OTHERS: Readonly<Record<string, string>> = {
  'TRUSTED CERTIFICATE':
    "a certificate in OpenSSL's own form: convert it with openssl x509 -in FILE -out NEW",
  'CERTIFICATE REQUEST': 'a request for a certificate: give what the CA made of it',
  'NEW CERTIFICATE REQUEST': 'a request for a certificate: give what the CA made of it',
  'X509 CRL': 'a list of revoked certificates',
  'PUBLIC KEY': 'a public key',
  'OPENSSH PRIVATE KEY': 'a key of OpenSSH, which TLS does not take',
  PKCS7: 'certificates as PKCS#7: convert them with openssl pkcs7 -print_certs -in FILE -out NEW',
  CERTIFICATE: 'a certificate',
};

/** What blocks are there, none of which is what was looked for. */
export function describeBlocks(blocks: readonly PemBlock[]): string {
  const found = blocks.map((block) => {
    if (isKey(block)) return 'a private key';
    // A label may be any word, those that every object knows too.
    return Object.hasOwn(OTHERS, block.label) ? OTHERS[block.label] : `'${block.label}'`;
  });
  return [...new Set(found)].slice(0, 3).join(', ');
}

/** What a file without any block is; goes on after its name. */
export function describeOther(bytes: Buffer): string {
  if (bytes.length === 0) return 'is empty';
  const utf16 = bytes.length > 1 && [0xfeff, 0xfffe].includes(bytes.readUInt16BE(0));
  if (utf16) return 'is text in UTF-16: save it as UTF-8';
  // A SEQUENCE (X.690 §8.9), which all forms of certificates, keys and archives begin with.
  if (bytes[0] !== 0x30) return 'holds nothing in PEM form';
  if (isDerCertificate(bytes)) {
    return 'is in DER form: convert it with openssl x509 -inform der -in FILE -out NEW';
  }
  if (isDerKey(bytes)) {
    return 'is in DER form: convert it with openssl pkey -inform der -in FILE -out NEW';
  }
  return (
    'is in no form that weft reads, perhaps a PKCS#12 archive: take certificates out of one with ' +
    'openssl pkcs12 -in FILE -nokeys -out NEW, the key with -nocerts -nodes'
  );
}

function isDerCertificate(bytes: Buffer): boolean {
  try {
    new X509Certificate(bytes);
    return true;
  } catch {
    return false;
  }
}

function isDerKey(key: Buffer): boolean {
  return (['pkcs8', 'sec1', 'pkcs1'] as const).some((type) => {
    try {
      createPrivateKey({ key, format: 'der', type });
      return true;
    } catch {
      return false;
    }
  });
}
