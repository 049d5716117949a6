import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plain, styled } from '../../src/cli/screen.ts';

test('what a merchant is called or answers cannot move the cursor, nor break a line', () => {
  assert.equal(plain('a\u001B[2Jb\r\nc\u0007\u009B31m  '), 'a?[2Jb??c??31m');
  assert.equal(styled(process.stdout, { text: 'a\u001B[2Jb' }, 80), 'a?[2Jb');
});

test('a line is no wider than the terminal', () => {
  assert.equal(styled(process.stdout, { text: 'abcdef' }, 4), 'abcd');
});
