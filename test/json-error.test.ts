import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonProblem } from '../src/json-error.ts';

function problemOf(text: string): string {
  try {
    JSON.parse(text);
  } catch (error) {
    return jsonProblem(error, text);
  }
  throw new Error('it is JSON');
}

test('a text that is not JSON is told by the place, and nothing of it is quoted', () => {
  assert.equal(problemOf('{\n  "secret" 1 }'), 'not JSON (at line 2, column 12)');
  assert.equal(problemOf('{"secret'), 'not JSON (at line 1, column 9)');
});

test('a byte order mark is named, because it cannot be seen', () => {
  assert.match(problemOf('\uFEFF{}'), /^not JSON: it begins with a byte order mark \(BOM\)/);
});
