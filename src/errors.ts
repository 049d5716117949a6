/**
 * Errors by what they break. `code` is stable; the message names what was expected and what came; `cause` is what lies
 * below. The command line prints the message alone, and the stack only at log level debug.
 */
export type ErrorCode =
  /** An option, a config file, a merchant directory or a handler that cannot be used as given. */
  | 'USAGE'
  /** The broker could not be reached within `connectWait`. */
  | 'BROKER_UNREACHABLE'
  /** The broker refuses what we need: credentials, permissions, a queue with other arguments. */
  | 'BROKER_REFUSED'
  /** Shards cannot be started or kept running. */
  | 'SHARD'
  /** Anything else that ends the process. */
  | 'FATAL';

export class OrderlaneError extends Error {
  override readonly name = 'OrderlaneError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The message of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message === '' ? thrown.name : thrown.message;
  return String(thrown);
}
