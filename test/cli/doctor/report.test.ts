import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fail, ok, warn } from '../../../src/cli/doctor/finding.ts';
import { findingText, passed, reportJson, summaryText } from '../../../src/cli/doctor/report.ts';

const all = [
  ok('broker', 'it answers'),
  warn('names', 'one is gone', 'correct it'),
  fail('memory', 'too little', 'add some'),
];

test('a finding is a line, with its fix below it, and coloured only when asked', () => {
  assert.equal(findingText(ok('broker', 'it answers'), false), '  ok    broker        it answers');
  assert.equal(
    findingText(fail('memory', 'too little', 'add some'), false),
    '  FAIL  memory        too little\n                      fix: add some',
  );
  assert.ok(findingText(fail('memory', 'too little', 'add some'), true).startsWith('  \u001B[31mFAIL\u001B[0m'));
});

test('control characters that a broker sent do not reach the terminal', () => {
  assert.match(findingText(ok('broker', 'a\u001B[2Jb'), false), /a\?\[2Jb/);
});

test('one failure is enough not to pass; warnings are not', () => {
  assert.deepEqual([passed(all), passed(all.slice(0, 2))], [false, true]);
  assert.equal(summaryText(all), '1 ok, 1 warn, 1 FAIL: not fit to run');
  assert.equal(summaryText(all.slice(0, 1)), '1 ok, 0 warn, 0 FAIL: fit to run');
  assert.deepEqual(JSON.parse(reportJson(all)), { passed: false, counts: { ok: 1, warn: 1, fail: 1 }, findings: all });
});
