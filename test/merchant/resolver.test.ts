import assert from 'node:assert/strict';
import type { LookupAddress } from 'node:dns';
import { type TestContext, test } from 'node:test';
import { Resolver, type ResolverOptions } from '../../src/merchant/resolver.ts';
import { dnsStub } from './dns-stub.ts';

function resolverOf(t: TestContext, options: ResolverOptions): Resolver {
  const unknown: ResolverOptions['fallback'] = (name, _options, callback) =>
    callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' }), []);
  const resolver = new Resolver({ fallback: unknown, ...options });
  t.after(() => resolver.close());
  return resolver;
}

/** The addresses of a name, or the code of its error. */
function ask(resolver: Resolver, name: string): Promise<readonly string[] | string> {
  return new Promise((done) => {
    resolver.resolve(name, (error, all) =>
      done(error === null ? all.map(({ address }) => address) : String(error.code)),
    );
  });
}

test('a name has its IPv4 addresses, then its IPv6 addresses', async (t) => {
  const stub = await dnsStub(t, (_name, type) => ({
    addresses: type === 'A' ? ['192.0.2.1', '192.0.2.2'] : ['2001:db8::1'],
  }));
  const resolver = resolverOf(t, { servers: [stub.server] });
  assert.deepEqual(await ask(resolver, 'pos.example'), ['192.0.2.1', '192.0.2.2', '2001:db8::1']);
});

test('lookup answers as net.connect and got ask it', async (t) => {
  const stub = await dnsStub(t, (_name, type) => ({ addresses: type === 'A' ? ['192.0.2.1'] : ['2001:db8::1'] }));
  const resolver = resolverOf(t, { servers: [stub.server] });
  const look = (options: Parameters<Resolver['lookup']>[1]) =>
    new Promise((done) => {
      resolver.lookup('pos.example', options, (error, address, family) => done(error?.message ?? [address, family]));
    });
  const v4: LookupAddress = { address: '192.0.2.1', family: 4 };
  const v6: LookupAddress = { address: '2001:db8::1', family: 6 };
  assert.deepEqual(await look({ all: true }), [[v4, v6], undefined]);
  assert.deepEqual(await look({ all: true, family: 6 }), [[v6], undefined]);
  assert.deepEqual(await look({}), ['192.0.2.1', 4]);
  assert.deepEqual(await look({ family: 'IPv6' }), ['2001:db8::1', 6]);
});

test('an answer is kept for its TTL, then still used while it is asked for again', async (t) => {
  let now = 0;
  let address = '192.0.2.1';
  const stub = await dnsStub(t, (_name, type) => ({ addresses: type === 'A' ? [address] : [], ttl: 30 }));
  const resolver = resolverOf(t, { servers: [stub.server], now: () => now });
  assert.deepEqual(await ask(resolver, 'pos.example'), ['192.0.2.1']);
  address = '192.0.2.2';
  now = 29_000;
  assert.deepEqual(await ask(resolver, 'pos.example'), ['192.0.2.1']);
  assert.equal(stub.asked.length, 2, 'one A and one AAAA');
  now = 31_000;
  assert.deepEqual(await ask(resolver, 'pos.example'), ['192.0.2.1'], 'stale, and asked for again');
  while ((await ask(resolver, 'pos.example'))[0] !== '192.0.2.2') await new Promise(setImmediate);
  assert.equal(stub.asked.length, 4);
});

test('an answer outlives a name server that fails, but not for ever, and not a name that is gone', async (t) => {
  let now = 0;
  let answer: 'servfail' | 'nxdomain' | undefined;
  const stub = await dnsStub(t, (_name, type) => answer ?? { addresses: type === 'A' ? ['192.0.2.1'] : [], ttl: 30 });
  const resolver = resolverOf(t, { servers: [stub.server], now: () => now });
  await ask(resolver, 'pos.example');
  await ask(resolver, 'gone.example');
  answer = 'servfail';
  now = 31_000;
  assert.deepEqual(await ask(resolver, 'pos.example'), ['192.0.2.1']);
  assert.deepEqual(await ask(resolver, 'pos.example'), ['192.0.2.1'], 'and no second question meanwhile');
  now = 400_000;
  assert.equal(await ask(resolver, 'pos.example'), 'ESERVFAIL');
  answer = 'nxdomain';
  now = 31_000;
  assert.deepEqual(await ask(resolver, 'gone.example'), ['192.0.2.1']);
  while ((await ask(resolver, 'gone.example')) !== 'ENOTFOUND') await new Promise(setImmediate);
});

test('lookups of one name at the same time share one question', async (t) => {
  const stub = await dnsStub(t, (_name, type) => ({ addresses: type === 'A' ? ['192.0.2.1'] : [] }));
  const resolver = resolverOf(t, { servers: [stub.server] });
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask(resolver, 'pos.example')));
  assert.ok(answers.every((answer) => answer[0] === '192.0.2.1'));
  assert.equal(stub.asked.length, 2);
});

test('a failure is kept for a second', async (t) => {
  let now = 0;
  const stub = await dnsStub(t, () => 'nxdomain');
  const resolver = resolverOf(t, { servers: [stub.server], now: () => now });
  assert.equal(await ask(resolver, 'no.example'), 'ENOTFOUND');
  assert.equal(await ask(resolver, 'no.example'), 'ENOTFOUND');
  assert.equal(stub.asked.length, 2);
  now = 1001;
  assert.equal(await ask(resolver, 'no.example'), 'ENOTFOUND');
  assert.equal(stub.asked.length, 4);
});

test('a family that nobody answers for does not hold up the other', async (t) => {
  const stub = await dnsStub(t, (_name, type) => (type === 'A' ? { addresses: ['192.0.2.1'] } : 'silence'));
  const resolver = resolverOf(t, { servers: [stub.server] });
  assert.deepEqual(await ask(resolver, 'pos.example'), ['192.0.2.1']);
  assert.deepEqual(stub.asked.toSorted(), ['A pos.example', 'AAAA pos.example'], 'AAAA was not even asked again');
});

test('silent names do not hold up others', async (t) => {
  const stub = await dnsStub(t, (name, type) => {
    if (name.startsWith('silent')) return 'silence';
    return { addresses: type === 'A' ? ['192.0.2.1'] : [] };
  });
  const resolver = resolverOf(t, { servers: [stub.server] });
  const ended: string[] = [];
  const silent = Array.from({ length: 100 }, (_, i) =>
    ask(resolver, `silent-${i}.example`).then((code) => ended.push(String(code))),
  );
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(resolver, `pos-${i}.example`)));
  assert.ok(answers.every((answer) => answer[0] === '192.0.2.1'));
  assert.equal(ended.length, 0);
  await Promise.all(silent);
  assert.deepEqual(new Set(ended), new Set(['ETIMEOUT']));
});

test('a name that the name servers do not know is asked of the system, two at a time, and kept', async (t) => {
  const stub = await dnsStub(t, () => 'nxdomain');
  let running = 0;
  let most = 0;
  const asked: string[] = [];
  const fallback: ResolverOptions['fallback'] = (name, _options, callback) => {
    asked.push(name);
    running += 1;
    most = Math.max(most, running);
    setImmediate(() => {
      running -= 1;
      callback(null, [{ address: '10.0.0.7', family: 4 }]);
    });
  };
  const resolver = resolverOf(t, { servers: [stub.server], fallback });
  const names = Array.from({ length: 10 }, (_, i) => `short-${i}`);
  for (const answer of await Promise.all(names.map((name) => ask(resolver, name))))
    assert.deepEqual(answer, ['10.0.0.7']);
  assert.equal(most, 2);
  await Promise.all(names.map((name) => ask(resolver, name)));
  assert.equal(asked.length, 10);
});

test('a system lookup that never answers is given up, and a silent name server is not passed on to it', async (t) => {
  const stub = await dnsStub(t, (name) => (name === 'silent.example' ? 'silence' : 'nxdomain'));
  const asked: string[] = [];
  const resolver = resolverOf(t, { servers: [stub.server], fallback: (name) => void asked.push(name) });
  const codes = await Promise.all(['stuck', 'silent.example'].map((name) => ask(resolver, name)));
  assert.deepEqual(codes, ['ETIMEOUT', 'ETIMEOUT']);
  assert.deepEqual(asked, ['stuck']);
});

test('localhost is asked of nobody', async (t) => {
  const stub = await dnsStub(t, () => 'nxdomain');
  const resolver = resolverOf(t, { servers: [stub.server] });
  assert.deepEqual(await ask(resolver, 'localhost'), ['127.0.0.1', '::1']);
  assert.deepEqual(await ask(resolver, 'pos.localhost'), ['127.0.0.1', '::1']);
  assert.equal(stub.asked.length, 0);
});

test('closing ends what is being asked', async (t) => {
  const stub = await dnsStub(t, () => 'silence');
  const resolver = resolverOf(t, { servers: [stub.server] });
  const answer = ask(resolver, 'pos.example');
  resolver.close();
  assert.equal(await answer, 'ECANCELLED');
});
