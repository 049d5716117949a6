import { type ErrorCode, OrderlaneError } from '../errors.ts';

/** Every exit code of `orderlane`, and when. Scripts rely on them. */
export const EXIT = {
  clean: { code: 0, when: 'ended as asked, with nothing left in hand' },
  fatal: { code: 1, when: 'anything not listed below; also a second SIGTERM or SIGINT, and the first one of dlq' },
  usage: {
    code: 2,
    when: 'an option or a file that cannot be used as given; a broker whose certificate is not trusted',
  },
  brokerUnreachable: { code: 3, when: 'the broker could not be reached at start' },
  drainTimedOut: { code: 4, when: 'time was up with orders still in hand; the broker keeps them' },
} as const;

const BY_ERROR: Readonly<Record<ErrorCode, keyof typeof EXIT>> = {
  USAGE: 'usage',
  BROKER_UNREACHABLE: 'brokerUnreachable',
  BROKER_REFUSED: 'fatal',
  SHARD: 'fatal',
  FATAL: 'fatal',
};

export function exitCodeOf(thrown: unknown): number {
  return EXIT[thrown instanceof OrderlaneError ? BY_ERROR[thrown.code] : 'fatal'].code;
}

/** The table as `--help` prints it. */
export const EXIT_CODES_HELP: string = [
  'Exit codes:',
  ...Object.values(EXIT).map(({ code, when }) => `  ${code}  ${when}`),
].join('\n');
