import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { PeerCertificate } from 'node:tls';
import { messageOf, OrderlaneError } from '../../errors.ts';

/** The PEM files of a connection, by their paths. */
export interface TlsFiles {
  /** The authority that signed the broker's certificate. */
  readonly ca?: string;
  /** Our own certificate, and its private key. */
  readonly cert?: string;
  readonly key?: string;
}

export interface TlsContents {
  readonly ca?: Buffer[];
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/** The broker at one address shows a certificate that is not to be trusted. At another address it may show a better one. */
export class UntrustedBroker extends OrderlaneError {}

/**
 * What is in the files. Throws an OrderlaneError with code USAGE for one that is of no use: OpenSSL passes over an
 * authority's file without certificates in silence, and says of the others nothing that a person could act on.
 */
export function readTlsFiles({ ca, cert, key }: TlsFiles): TlsContents {
  const authority = ca === undefined ? undefined : read('--broker-ca', ca);
  const certificate = cert === undefined ? undefined : read('--broker-cert', cert);
  const secret = key === undefined ? undefined : read('--broker-key', key);
  if (authority !== undefined) certificateIn('--broker-ca', ca as string, authority);
  const own = certificate === undefined ? undefined : certificateIn('--broker-cert', cert as string, certificate);
  const ownKey = secret === undefined ? undefined : keyIn(key as string, secret);
  if (own !== undefined && ownKey !== undefined && !own.checkPrivateKey(ownKey)) {
    const text = `--broker-key: expected the private key of the certificate in ${cert} (--broker-cert); got another one in ${key}`;
    throw new OrderlaneError('USAGE', text);
  }
  return {
    ...(authority === undefined ? {} : { ca: [authority] }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(secret === undefined ? {} : { key: secret }),
  };
}

function read(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new OrderlaneError('USAGE', `${option}: ${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function certificateIn(option: string, path: string, content: Buffer): X509Certificate {
  try {
    // The class would take DER as well, and the connection would not.
    if (!content.includes('-----BEGIN ')) throw new Error('no -----BEGIN CERTIFICATE----- in it');
    return new X509Certificate(content);
  } catch (error) {
    const text = `${option}: expected a PEM certificate in ${path}; got a file without one that can be read: ${messageOf(error)}`;
    throw new OrderlaneError('USAGE', text, { cause: error });
  }
}

function keyIn(path: string, content: Buffer): KeyObject {
  try {
    return createPrivateKey(content);
  } catch (error) {
    const came =
      (error as { code?: string }).code === 'ERR_MISSING_PASSPHRASE' || /-----BEGIN ENCRYPTED /.test(content.toString())
        ? 'one that is encrypted'
        : `a file without one that can be read: ${messageOf(error)}`;
    const text = `--broker-key: expected a PEM private key without a passphrase in ${path}; got ${came}`;
    throw new OrderlaneError('USAGE', text, { cause: error });
  }
}

const NOT_TRUSTED = 'it is signed by an authority that is not trusted';

/** OpenSSL's verdicts on a certificate, in words. */
const VERDICTS: ReadonlyMap<string, string> = new Map([
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'it is self-signed'],
  ['SELF_SIGNED_CERT_IN_CHAIN', NOT_TRUSTED],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', NOT_TRUSTED],
  ['UNABLE_TO_GET_ISSUER_CERT', NOT_TRUSTED],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', NOT_TRUSTED],
  ['CERT_SIGNATURE_FAILURE', 'its signature is not that of the authority it names'],
  ['CERT_HAS_EXPIRED', 'it, or its authority, has expired'],
  ['CERT_NOT_YET_VALID', 'it, or its authority, is not valid yet'],
  ['INVALID_CA', 'it is signed with a certificate that is no authority'],
  ['INVALID_PURPOSE', 'it is not made for a server'],
]);
const OTHER_VERDICT = /^(?:CERT_|CRL_|ERROR_IN_C|UNABLE_TO_|PATH_LENGTH_|HOSTNAME_|UNSPECIFIED$)/;

interface TlsError extends Error {
  readonly code?: string;
  readonly reason?: string;
  readonly cert?: PeerCertificate;
}

/** What TLS found wrong at an address, and would again; undefined for any other error. */
export function tlsFault(error: unknown, url: string, files: TlsFiles): OrderlaneError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code = '', reason } = error as TlsError;
  const { protocol, host, hostname } = new URL(url);
  const verdict = verdictOf(error, hostname);
  if (verdict !== undefined) {
    const authority =
      files.ca === undefined
        ? 'a well-known authority, or by the one that --broker-ca FILE gives'
        : `the authority that --broker-ca FILE gives, here ${files.ca}`;
    return new UntrustedBroker(
      'USAGE',
      `the certificate of the broker at ${protocol}//${host} is not trusted: ${verdict} (${code}). ` +
        `Expected a valid one for ${hostname}, signed by ${authority}.`,
      { cause: error },
    );
  }
  if (!/^ERR_SSL_.*ALERT_.*(?:CERTIFICATE|UNKNOWN_CA)/.test(code)) return undefined;
  const came = files.cert === undefined ? 'got none' : `got the one in ${files.cert}`;
  return new OrderlaneError(
    'BROKER_REFUSED',
    `the broker at ${protocol}//${host} expects a certificate of ours that it trusts (--broker-cert, --broker-key); ` +
      `${came}: ${reason ?? messageOf(error)} (${code})`,
    { cause: error },
  );
}

function verdictOf(error: TlsError, hostname: string): string | undefined {
  const { code = '', cert } = error;
  if (code !== 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return VERDICTS.get(code) ?? (OTHER_VERDICT.test(code) ? messageOf(error) : undefined);
  }
  const names = cert?.subjectaltname ?? cert?.subject?.CN ?? 'no name';
  return `it is for ${String(names)}, not for ${hostname}`;
}
