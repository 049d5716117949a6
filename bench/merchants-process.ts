/** The simulated merchants as a process of their own, so that their CPU is nobody's; with TLS, which the command has not. */
import { readFileSync } from 'node:fs';
import { startMerchants } from '../src/sim/merchants.ts';

const { latencyMs, tls } = JSON.parse(process.argv[2] as string) as {
  readonly latencyMs: number;
  readonly tls?: { readonly key: string; readonly cert: string };
};
const latency = { distribution: 'fixed', value: latencyMs } as const;
const merchants = await startMerchants({
  scenario: { seed: 1, default: latencyMs === 0 ? {} : { latency }, rules: [] },
  ...(tls === undefined ? {} : { tls: { key: readFileSync(tls.key, 'utf8'), cert: readFileSync(tls.cert, 'utf8') } }),
});
process.stdout.write(`${JSON.stringify({ url: merchants.url, urlTemplate: merchants.urlTemplate })}\n`);
const stop = (): void => void merchants.stop().then(() => process.exit(0));
process.once('SIGTERM', stop);
process.once('disconnect', stop);
