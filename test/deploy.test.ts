import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { METRICS } from '../src/admin/metrics.ts';
import { SETTINGS } from '../src/option-table.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

for (const path of [
  'deploy/prometheus/alerts.yaml',
  'deploy/prometheus/alerts.test.yaml',
  'deploy/grafana/orderlane.json',
]) {
  test(`every metric in ${path} is one that /metrics has`, () => {
    const known = new Set(
      METRICS.flatMap(({ name, type }) =>
        type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
      ),
    );
    const used = new Set(read(path).match(/\b(?:orderlane|process)_[a-z_]+/g));
    assert.ok(used.size > 5, 'it uses metrics');
    assert.deepEqual(
      [...used].filter((name) => !known.has(name)),
      [],
    );
  });
}

test('docs/production.md says what to do about every alert, and names no other', () => {
  const alerts = new Set(
    [...read('deploy/prometheus/alerts.yaml').matchAll(/- alert: (\w+)/g)].map(([, name]) => name),
  );
  const named = read('docs/production.md').match(/\bOrderlane[A-Z]\w+/g);
  assert.deepEqual(new Set(named), alerts);
});

/** The block scalar under a key of the ConfigMap. */
function configured(key: string): Record<string, unknown> {
  const [, text = ''] =
    new RegExp(`^  ${key}: \\|\\n((?: {4}.*\\n)+)`, 'm').exec(read('deploy/kubernetes/config.yaml')) ?? [];
  return JSON.parse(text) as Record<string, unknown>;
}

test('every setting of the ConfigMap is an option of work', () => {
  const known = new Set(Object.values(SETTINGS).map(({ name }) => String(name)));
  assert.deepEqual(
    Object.keys(configured('orderlane\\.json')).filter((name) => !known.has(name)),
    [],
  );
});

test('Kubernetes waits longer than --shutdown-timeout before it kills', () => {
  const [, grace] = /terminationGracePeriodSeconds: (\d+)/.exec(read('deploy/kubernetes/deployment.yaml')) ?? [];
  const ours = Number.parseInt(String(configured('orderlane\\.json')['shutdown-timeout']), 10);
  assert.ok(Number(grace) >= ours + 10, `${grace} s against ${ours} s`);
});
