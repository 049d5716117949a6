import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostPatternProblem, parseHostPattern } from '../src/host-pattern.ts';

test('patterns that are not hosts are refused', () => {
  for (const pattern of [
    '',
    '*',
    '*.',
    'a b',
    'http://a',
    'a/b',
    'a:99999',
    'a:b',
    'u@a',
    '*.127.0.0.1',
    'a.*.b',
    '[::1',
  ]) {
    assert.match(hostPatternProblem(pattern) ?? '', /expected a host, host:port or \*\.suffix, received/, pattern);
  }
  for (const pattern of ['a', 'a.b:1', '*.b', '127.0.0.1', '::1', '[::1]:80', 'bücher.example']) {
    assert.equal(hostPatternProblem(pattern), undefined, pattern);
  }
});

test('a pattern is read into the form in which hosts are compared', () => {
  assert.deepEqual(parseHostPattern('POS.Internal.'), { place: 'pos.internal', below: false });
  assert.deepEqual(parseHostPattern('*.Dev:08080'), { place: 'dev:8080', below: true });
  assert.deepEqual(parseHostPattern('[FD00:0::1]:8443'), { place: 'fd00::1:8443', below: false });
  assert.deepEqual(parseHostPattern('bücher.example'), { place: 'xn--bcher-kva.example', below: false });
});
