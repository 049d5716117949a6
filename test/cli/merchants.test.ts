import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseScenarioText } from '../../src/sim/scenario.ts';
import { orderlane } from './command-line.ts';

test('--help shows a scenario that can be used, and commands in one piece', async () => {
  const { code, out } = await orderlane(['merchants', '--help']);
  assert.equal(code, 0);
  const [scenario = ''] = /^ {2}\{\n[^]*?^ {2}\}\n/m.exec(out) ?? [];
  assert.equal(parseScenarioText(scenario).rules.length, 3);
  assert.match(out, /^ {2}orderlane work --url 'http:\S+' --allow-host 127\.0\.0\.1$/m);
});

test('the example of a scenario can be used', () => {
  const text = readFileSync(new URL('../../examples/scenario.json', import.meta.url), 'utf8');
  assert.equal(parseScenarioText(text).rules.length, 5);
});
