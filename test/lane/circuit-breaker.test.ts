import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CircuitBreaker, type Told } from '../../src/lane/circuit-breaker.ts';
import { BREAKER } from '../../src/order.ts';

/** A breaker on which one call after the other is made, a second apart, the last of them at this time. */
function after(calls: readonly Told[], now = 0, settings = BREAKER): CircuitBreaker {
  const breaker = new CircuitBreaker(settings);
  for (const [nth, told] of calls.entries()) {
    breaker.ended(breaker.started(), told, now - (calls.length - 1 - nth) * 1000);
  }
  return breaker;
}

test('two failures in a row open it, for 5 s', () => {
  assert.equal(after(['failed']).allows(0), true);
  const breaker = after(['failed', 'failed'], 1000);
  assert.deepEqual([breaker.allows(1000), breaker.allows(5999), breaker.allows(6000)], [false, false, true]);
  assert.equal(breaker.opensAt, 6000);
});

test('what fails at the same time fails of one event, and counts once', () => {
  const breaker = new CircuitBreaker(BREAKER);
  const eras = Array.from({ length: 10 }, () => breaker.started());
  for (const [nth, era] of eras.entries()) breaker.ended(era, 'failed', 1000 + nth);
  assert.equal(breaker.state, 'closed');
  breaker.ended(breaker.started(), 'failed', 1100);
  assert.equal(breaker.state, 'open');
});

test('an answer between two failures keeps it closed, and what says nothing does not', () => {
  assert.equal(after(['failed', 'answered', 'failed']).allows(0), true);
  assert.equal(after(['failed', 'neither', 'failed']).allows(0), false);
});

test('when its time is over, exactly one probe goes, and its answer closes it', () => {
  const breaker = after(['failed', 'failed']);
  const probe = breaker.started();
  assert.equal(breaker.allows(60_000), false);
  breaker.ended(probe, 'answered', 5100);
  assert.equal(breaker.state, 'closed');
  assert.equal(breaker.allows(5100), true);
});

test('a probe that fails opens it for twice as long, up to a minute, and an answered one starts over', () => {
  const breaker = after(['failed', 'failed']);
  const lengths: number[] = [];
  let now = 0;
  for (let i = 0; i < 6; i++) {
    lengths.push(breaker.opensAt - now);
    now = breaker.opensAt;
    breaker.ended(breaker.started(), 'failed', now);
  }
  assert.deepEqual(lengths, [5000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  breaker.ended(breaker.started(), 'answered', breaker.opensAt);
  for (const at of [999_000, 1_000_000]) breaker.ended(breaker.started(), 'failed', at);
  assert.equal(breaker.opensAt, 1_005_000);
});

test('a probe that says nothing lets another go in its place, a second later', () => {
  const breaker = after(['failed', 'failed']);
  for (const at of [5000, 6000, 7000]) {
    breaker.ended(breaker.started(), 'neither', at);
    assert.deepEqual([breaker.allows(at), breaker.allows(at + 999), breaker.allows(at + 1000)], [false, false, true]);
  }
  breaker.ended(breaker.started(), 'failed', 8000);
  assert.equal(breaker.opensAt, 18_000, 'twice as long as the first time');
});

test('calls that were started before it opened say nothing about the merchant now', () => {
  const breaker = new CircuitBreaker(BREAKER);
  const old = [breaker.started(), breaker.started(), breaker.started(), breaker.started()];
  breaker.ended(old[0] as number, 'failed', 0);
  breaker.ended(old[1] as number, 'failed', 200);
  const probe = breaker.started();
  breaker.ended(old[2] as number, 'answered', 5000);
  assert.equal(breaker.state, 'half-open', 'a late answer is no probe');
  breaker.ended(old[3] as number, 'failed', 5000);
  assert.equal(breaker.state, 'half-open');
  breaker.ended(probe, 'answered', 5000);
  assert.equal(breaker.state, 'closed');
});

test('whatever comes in whatever order, no more than one call is in flight between opening and closing', () => {
  const told = fc.constantFrom<Told>('answered', 'failed', 'neither');
  const step = fc.record({ end: fc.option(fc.nat({ max: 9 })), told, pass: fc.nat({ max: 4000 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const breaker = new CircuitBreaker(BREAKER);
      const inFlight: { era: number; probe: boolean }[] = [];
      let now = 0;
      for (const { end, told: outcome, pass } of steps) {
        now += pass;
        const call = end === null ? undefined : inFlight.splice(end % Math.max(1, inFlight.length), 1)[0];
        if (call !== undefined) breaker.ended(call.era, outcome, now);
        else if (breaker.allows(now)) {
          const probe = breaker.state !== 'closed';
          inFlight.push({ era: breaker.started(), probe });
        }
        if (breaker.state === 'half-open') {
          assert.ok(inFlight.filter(({ probe, era }) => probe && era === inFlight.at(-1)?.era).length <= 1);
        }
      }
    }),
  );
});

test('it opens after as many failures, for as long, as it is set to', () => {
  const settings = { ...BREAKER, failures: 3, waitMs: 2_000, maxWaitMs: 5_000 };
  assert.equal(after(['failed', 'failed'], 0, settings).state, 'closed');
  const breaker = after(['failed', 'failed', 'failed'], 0, settings);
  const lengths: number[] = [];
  let now = 0;
  for (let i = 0; i < 4; i++) {
    lengths.push(breaker.opensAt - now);
    now = breaker.opensAt;
    breaker.ended(breaker.started(), 'failed', now);
  }
  assert.deepEqual(lengths, [2_000, 4_000, 5_000, 5_000]);
  const long = after(['failed', 'failed'], 0, { ...BREAKER, waitMs: 120_000 });
  assert.equal(long.opensAt, 120_000, 'longer than the longest, which was not set');
});

test('exactly as many probes go as it is set to, and all of them must be answered', () => {
  const settings = { ...BREAKER, probes: 3 };
  const breaker = after(['failed', 'failed'], 0, settings);
  const probes: number[] = [];
  while (breaker.allows(5000)) probes.push(breaker.started());
  assert.equal(probes.length, 3);
  for (const era of probes) {
    assert.deepEqual([breaker.state, breaker.allows(60_000)], ['half-open', false]);
    breaker.ended(era, 'answered', 5100);
  }
  assert.equal(breaker.state, 'closed');
});

test('one probe of several that fails opens it again, for longer, and the others then say nothing', () => {
  const breaker = after(['failed', 'failed'], 0, { ...BREAKER, probes: 3 });
  const [first, second, third] = [breaker.started(), breaker.started(), breaker.started()];
  breaker.ended(first, 'answered', 5100);
  breaker.ended(second, 'failed', 5200);
  breaker.ended(third, 'answered', 5300);
  assert.deepEqual([breaker.state, breaker.opensAt], ['open', 15_200]);
  const again = [breaker.started(), breaker.started(), breaker.started()];
  for (const era of again.slice(1)) breaker.ended(era, 'answered', 15_300);
  assert.equal(breaker.state, 'half-open', 'what was answered before it opened again does not count');
});

test('a probe that says nothing takes nothing back of what others were answered', () => {
  const breaker = after(['failed', 'failed'], 0, { ...BREAKER, probes: 3 });
  for (const at of [5000, 6000]) {
    breaker.ended(breaker.started(), 'answered', at);
    breaker.ended(breaker.started(), 'neither', at);
  }
  assert.equal(breaker.state, 'open');
  breaker.ended(breaker.started(), 'answered', 7000);
  assert.deepEqual([breaker.state, breaker.allows(7000)], ['closed', true]);
});

test('settings that change while it is open or half-open lock nobody out', () => {
  const breaker = after(['failed', 'failed'], 0, { ...BREAKER, probes: 3 });
  breaker.ended(breaker.started(), 'answered', 5000);
  breaker.settings = BREAKER;
  assert.equal(breaker.allows(5000), true);
  breaker.ended(breaker.started(), 'neither', 5000);
  assert.equal(breaker.allows(6000), true);
  breaker.ended(breaker.started(), 'answered', 6000);
  assert.equal(breaker.state, 'closed');
  const long = after(['failed', 'failed'], 0, { ...BREAKER, waitMs: 3_600_000 });
  long.settings = BREAKER;
  assert.deepEqual([long.allows(59_999), long.allows(60_000)], [false, true]);
});
