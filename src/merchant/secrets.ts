import { readFile } from 'node:fs/promises';
import { validateHeaderValue } from 'node:http';
import { messageOf, OrderlaneError } from '../errors.ts';

/** Where a secret is: an environment variable or a file, by its absolute path. */
export type SecretRef = { readonly env: string } | { readonly file: string };

/** How a merchant wants to be convinced, with its secret by reference. */
export type Auth =
  | { readonly type: 'bearer'; readonly secret: SecretRef }
  | { readonly type: 'basic'; readonly username: string; readonly secret: SecretRef }
  | { readonly type: 'header'; readonly name: string; readonly secret: SecretRef };

type Secret = { readonly value: string } | { readonly problem: string };

const FILES_AT_ONCE = 16;

/** The secrets of one load of the directory: each distinct file and variable is read once. */
export class Secrets {
  readonly #known = new Map<string, Secret>();

  async read(refs: Iterable<SecretRef>): Promise<void> {
    const files = new Set<string>();
    for (const ref of refs) {
      if ('file' in ref) files.add(ref.file);
      else if (!this.#known.has(keyOf(ref))) this.#known.set(keyOf(ref), envSecret(ref.env));
    }
    const queue = files.values();
    const readSome = async (): Promise<void> => {
      for (const file of queue) this.#known.set(keyOf({ file }), await fileSecret(file));
    };
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, readSome));
  }

  /** Why a secret cannot be used; undefined when it can. */
  problem(ref: SecretRef): string | undefined {
    const secret = this.#known.get(keyOf(ref));
    return secret !== undefined && 'problem' in secret ? secret.problem : undefined;
  }

  /** The header that carries the secret. */
  header(auth: Auth): readonly [name: string, value: string] {
    const secret = this.#known.get(keyOf(auth.secret));
    if (secret === undefined || 'problem' in secret) throw new Error('a secret is used that was not read');
    switch (auth.type) {
      case 'bearer':
        return ['authorization', `Bearer ${secret.value}`];
      case 'basic':
        return ['authorization', `Basic ${Buffer.from(`${auth.username}:${secret.value}`).toString('base64')}`];
      case 'header':
        return [auth.name, secret.value];
    }
  }
}

/** The Authorization header for a token in a file or an environment variable; undefined when neither is named. */
export async function bearerFrom(file: string | undefined, env: string | undefined): Promise<string | undefined> {
  const secret = file === undefined ? (env === undefined ? undefined : { env }) : { file };
  if (secret === undefined) return undefined;
  const secrets = new Secrets();
  await secrets.read([secret]);
  const why = secrets.problem(secret);
  if (why !== undefined) throw new OrderlaneError('USAGE', `the admin token: ${why}`);
  return secrets.header({ type: 'bearer', secret })[1];
}

function keyOf(ref: SecretRef): string {
  return 'env' in ref ? `env ${ref.env}` : `file ${ref.file}`;
}

function envSecret(name: string): Secret {
  const value = process.env[name];
  if (value === undefined) return { problem: `the environment variable ${name} is not set` };
  return checked(value, `the environment variable ${name}`);
}

async function fileSecret(path: string): Promise<Secret> {
  try {
    // Editors and `kubectl create secret` end a file with a line feed that is not part of the secret.
    return checked((await readFile(path, 'utf8')).replace(/\r?\n$/, ''), `the file ${path}`);
  } catch (error) {
    return { problem: `the file ${path} cannot be read: ${messageOf(error)}` };
  }
}

function checked(value: string, where: string): Secret {
  if (value === '') return { problem: `${where} is empty` };
  try {
    validateHeaderValue('secret', value);
    return { value };
  } catch {
    return { problem: `${where} holds characters that an HTTP header cannot carry, such as a line feed` };
  }
}
