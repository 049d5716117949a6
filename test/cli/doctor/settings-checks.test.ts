import assert from 'node:assert/strict';
import { test } from 'node:test';
import { secretsCheck, settingsCheck, shutdownCheck, windowCheck } from '../../../src/cli/doctor/settings-checks.ts';
import { DEFAULTS } from '../../../src/options.ts';

test('a stop must have time for the longest attempt and for settling it', () => {
  assert.equal(shutdownCheck(25_000, 15_000, false).verdict, 'ok');
  const late = shutdownCheck(15_000, 15_000, false);
  assert.deepEqual([late.verdict, late.fix], ['warn', 'set --shutdown-timeout to 20s or more']);
});

test('in Kubernetes a stop that is longer than its default grace period is told of', () => {
  assert.equal(shutdownCheck(25_000, 15_000, true).verdict, 'ok');
  assert.match(shutdownCheck(60_000, 15_000, true).fix ?? '', /terminationGracePeriodSeconds is 65 or more/);
  assert.equal(shutdownCheck(60_000, 15_000, false).verdict, 'ok');
});

test('a budget larger than the prefetch, and a window of a few messages, are warned of', () => {
  assert.equal(windowCheck(DEFAULTS).verdict, 'ok');
  assert.match(windowCheck({ ...DEFAULTS, prefetch: 10_000, concurrency: 20_000 }).fix ?? '', /--prefetch to 50000/);
  assert.match(windowCheck({ ...DEFAULTS, windowBytes: 4 * 2 ** 20 }).what, /holds 4 messages/);
});

test('variables that are nearly settings are warned of one by one', () => {
  assert.deepEqual(
    settingsCheck(['ORDERLANE_CONCURENCY is no setting', 'another']).map(({ verdict }) => verdict),
    ['warn', 'warn'],
  );
  assert.deepEqual(
    settingsCheck([]).map(({ verdict }) => verdict),
    ['ok'],
  );
});

test('a token and TLS files that are not there fail, and those nobody names are no finding', async () => {
  assert.deepEqual(await secretsCheck(DEFAULTS), []);
  const found = await secretsCheck({ ...DEFAULTS, adminTokenEnv: 'NOBODY_SETS_THIS', brokerCa: '/nowhere/ca.pem' });
  assert.deepEqual(
    found.map(({ verdict }) => verdict),
    ['fail', 'fail'],
  );
  assert.match(found[0]?.what ?? '', /--broker-ca: \/nowhere\/ca\.pem cannot be read/);
  assert.match(found[1]?.what ?? '', /NOBODY_SETS_THIS is not set/);
});
