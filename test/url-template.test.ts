import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UrlTemplate } from '../src/url-template.ts';

function template(text: string): UrlTemplate {
  const parsed = UrlTemplate.parse(text);
  assert.ok(typeof parsed !== 'string');
  return parsed;
}

test('an ID is encoded in path and query', () => {
  const url = template('https://pos.example/{merchantId}/orders?m={merchantId}');
  assert.equal(url.fill('a/b?c&d'), 'https://pos.example/a%2Fb%3Fc%26d/orders?m=a%2Fb%3Fc%26d');
  assert.equal(url.fill('__proto__'), 'https://pos.example/__proto__/orders?m=__proto__');
  assert.equal(url.fill('ü'), 'https://pos.example/%C3%BC/orders?m=%C3%BC');
});

test('an ID that would climb, is empty, endless or not text is refused', () => {
  const url = template('https://pos.example/{merchantId}/orders');
  for (const id of ['', '.', '..', '\ud800', 'x'.repeat(256)])
    assert.equal(url.fill(id), undefined, JSON.stringify(id));
});

test('in the host an ID is part of a DNS label', () => {
  const url = template('https://pos-{merchantId}.example/orders');
  assert.equal(url.fill('a1'), 'https://pos-a1.example/orders');
  for (const id of ['a.b', 'a/b', 'a_b', 'a-', 'x'.repeat(60), 'evil.example#', 'a:1', 'ü']) {
    assert.equal(url.fill(id), undefined, id);
  }
});

test('whatever the ID, the URL stays at its host and below its path', () => {
  const path = template('https://pos.example/m/{merchantId}/orders');
  const host = template('https://{merchantId}.pos.example/orders');
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (id) => {
      const inPath = path.fill(id);
      if (inPath !== undefined) {
        const url = new URL(inPath);
        assert.equal(url.host, 'pos.example');
        assert.match(url.pathname, /^\/m\/[^/]+\/orders$/);
        assert.equal(url.href, inPath);
      }
      const inHost = host.fill(id);
      if (inHost !== undefined) assert.match(new URL(inHost).hostname, /^[a-z0-9-]+\.pos\.example$/);
    }),
  );
});

test('a URL without a placeholder is the same for everybody', () => {
  const url = template('HTTPS://Pos.Example:443/orders?tenant=5');
  assert.equal(url.varies, false);
  assert.equal(url.fill('..'), 'https://pos.example/orders?tenant=5');
});

test('what is not a usable template is refused, without repeating a credential', () => {
  for (const [text, words] of [
    ['', /expected an https:\/\/ or http:\/\/ URL/],
    ['pos.example/orders', /expected an https/],
    ['ftp://pos.example/', /expected an https/],
    ['https://', /expected an https/],
    ['https://pos.example/{merchant}', /no braces but \{merchantId\}/],
    ['https://pos.example/{merchantId', /no braces but/],
    ['https://pos.example/a#b', /without a fragment/],
    ['https://pos.example:{merchantId}/', /expected an https/],
    ['https://user:s3cret@pos.example/', /without credentials/],
    ['https://{merchantId}:s3cret@pos.example/', /without credentials/],
    ['htps://user:s3cret@pos.example/', /expected an https/],
    ['https://user:s3cret@pos.example/{x}', /no braces but/],
  ] as const) {
    const problem = UrlTemplate.parse(text);
    assert.ok(typeof problem === 'string', text);
    assert.match(problem, words, text);
    assert.doesNotMatch(problem, /s3cret/);
  }
});
