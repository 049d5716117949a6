import assert from 'node:assert/strict';
import { test } from 'node:test';
import { didYouMean, nearest } from '../src/spelling.ts';

const NAMES = ['timeout', 'connect-timeout', 'concurrency', 'merchant-concurrency', 'url', 'queue'];

test('a misspelt name finds the name that was meant', () => {
  for (const [word, meant] of [
    ['concurency', 'concurrency'],
    ['timout', 'timeout'],
    ['tiemout', 'timeout'],
    ['connect_timeout', 'connect-timeout'],
    ['urll', 'url'],
    ['qeueu', 'queue'],
  ] as const) {
    assert.equal(nearest(word, NAMES), meant, word);
  }
});

test('a name that is like none finds none', () => {
  for (const word of ['port', 'service-host', 'x', 'ur-l-x', '']) assert.equal(nearest(word, NAMES), undefined, word);
});

test('a name that is right is no misspelling of another', () => {
  assert.equal(nearest('url', ['urls', 'url']), undefined);
});

test('a question is asked only when there is a candidate', () => {
  assert.equal(didYouMean('--queue'), ' Did you mean --queue?');
  assert.equal(didYouMean(undefined), '');
});
