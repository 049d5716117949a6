import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at, parsePointer } from '../../../src/broker/codec/json-pointer.ts';

// The document and the pointers of RFC 6901, section 5.
const RFC = JSON.parse(
  '{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\\\j":5,"k\\"l":6," ":7,"m~n":8}',
) as Record<string, unknown>;

function find(document: unknown, pointer: string): unknown {
  return at(document, parsePointer(pointer));
}

test('a pointer names what RFC 6901 says it names', () => {
  assert.equal(find(RFC, ''), RFC);
  for (const [pointer, value] of [
    ['/foo', RFC['foo']],
    ['/foo/0', 'bar'],
    ['/', 0],
    ['/a~1b', 1],
    ['/c%d', 2],
    ['/e^f', 3],
    ['/g|h', 4],
    ['/i\\j', 5],
    ['/k"l', 6],
    ['/ ', 7],
    ['/m~0n', 8],
  ] as const) {
    assert.equal(find(RFC, pointer), value, pointer);
  }
  assert.equal(find({ '~1': 'tilde one', '/': 'slash' }, '/~01'), 'tilde one', '~01 is ~1, not /');
});

test('what is not there is undefined, also below what is no object', () => {
  const document = { text: 'abc', nothing: null, number: 7, list: [{ id: 1 }], flag: true };
  for (const pointer of [
    '/x',
    '/x/y',
    '/text/0',
    '/text/length',
    '/nothing/x',
    '/number/x',
    '/list/1',
    '/list/01',
    '/list/-',
    '/list/length',
    '/flag/x',
    '/list/0/id/x',
  ]) {
    assert.equal(find(document, pointer), undefined, pointer);
  }
  assert.equal(find(document, '/list/0/id'), 1);
  for (const document of [null, 'text', 7, undefined]) assert.equal(find(document, '/x'), undefined);
});

test('only what the body itself has is found, whatever it calls its members', () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    assert.equal(find(JSON.parse('{}'), `/${name}`), undefined, name);
    assert.equal(find(JSON.parse(`{"${name}":"mine"}`), `/${name}`), 'mine', name);
  }
  assert.equal(find(JSON.parse('{"a":{}}'), '/a/__proto__/x'), undefined);
  assert.equal(find(JSON.parse('{"__proto__":{"id":"mine"}}'), '/__proto__/id'), 'mine');
  assert.equal(find(JSON.parse('{"__proto__":{"id":"mine"}}'), '/id'), undefined);
});

test('a pointer to any place of any document finds what is there', () => {
  const step = fc.record({ name: fc.string({ maxLength: 5 }), inList: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 6 }), (steps) => {
      let document: unknown = 'here';
      let pointer = '';
      for (const { name, inList } of steps) {
        document = inList ? [0, document] : Object.fromEntries([[name, document]]);
        pointer = `/${inList ? '1' : name.replaceAll('~', '~0').replaceAll('/', '~1')}${pointer}`;
      }
      assert.equal(find(document, pointer), 'here');
    }),
  );
});
