import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Delivery } from '../../src/broker/source.ts';
import { type Entry, entryOf, keyOf, Ledger } from '../../src/dispatcher/ledger.ts';
import { Lane } from '../../src/lane/lane.ts';
import type { Settlement } from '../../src/outcome.ts';
import { delivery, merchant } from '../helpers/deliveries.ts';

const ACK: Settlement = { kind: 'ack' };
const PARK: Settlement = { kind: 'park', detail: 'may have been sent' };
const GENERATION = 65_536;
const lane = new Lane<Entry>(merchant(), 0);

function entryFor(of: Delivery): Entry {
  return entryOf(of, lane, keyOf(of), false, 0);
}

function withEnded(of: Delivery, late: Parameters<Ledger['end']>[1] = ACK): Ledger {
  const ledger = new Ledger();
  const entry = entryFor(of);
  ledger.add(entry);
  ledger.end(entry, late);
  return ledger;
}

function sameCopy(ledger: Ledger, of: Delivery): Entry | undefined {
  return ledger.sameCopy(keyOf(of), of);
}

function lateTwin(ledger: Ledger, of: Delivery): ReturnType<Ledger['lateTwin']> {
  return ledger.lateTwin(keyOf(of), of);
}

const FIRST = delivery({ identity: 'm-1', body: '{"id":1}' });
const HOP = { ...FIRST, hop: 1 };

test('a copy in hand is found by identity and hop, and only while it is in hand', () => {
  const ledger = new Ledger();
  const entry = entryFor(FIRST);
  assert.equal(ledger.add(entry), true);
  assert.equal(ledger.size, 1);
  assert.deepEqual([...ledger.entries()], [entry]);
  assert.equal(sameCopy(ledger, { ...FIRST, tag: 9, redelivered: true }), entry);
  assert.equal(sameCopy(ledger, HOP), undefined);
  assert.equal(sameCopy(ledger, { ...FIRST, identity: 'm-2' }), undefined);
  ledger.end(entry, ACK);
  assert.equal(ledger.size, 0);
  assert.equal(sameCopy(ledger, FIRST), undefined);
});

test('no identity, whatever it looks like, makes one copy pass for another', () => {
  const copy = fc.record({ identity: fc.stringMatching(/^[0-2:a]{0,4}$/), hop: fc.nat({ max: 12 }) });
  fc.assert(
    fc.property(copy, copy, (a, b) => {
      const same = a.identity === b.identity && a.hop === b.hop;
      const inHand = new Ledger();
      inHand.add(entryFor({ ...FIRST, ...a }));
      assert.equal(sameCopy(inHand, { ...FIRST, ...b }) !== undefined, same);
      assert.equal(lateTwin(withEnded({ ...FIRST, ...a }), { ...FIRST, ...b, redelivered: true }) !== undefined, same);
    }),
    { numRuns: 2000 },
  );
});

test('a reused message ID with another body is not joined, and lives and ends beside the first', () => {
  const ledger = new Ledger();
  const first = entryFor(FIRST);
  const other = entryFor({ ...FIRST, tag: 2, body: '{"id":2}' });
  ledger.add(first);
  assert.equal(sameCopy(ledger, other.delivery), undefined);
  assert.equal(ledger.add(other), false);
  ledger.end(other, PARK);
  assert.equal(sameCopy(ledger, FIRST), first, 'the end of the other took the first one out');
  ledger.end(first, ACK);
  assert.equal(ledger.size, 0);
});

test('the late twin of a settled copy is settled in the same way', () => {
  for (const late of [ACK, PARK, 'released'] as const) {
    assert.equal(lateTwin(withEnded(FIRST, late), { ...FIRST, redelivered: true }), late);
    assert.equal(lateTwin(withEnded(HOP, late), HOP), late);
    assert.equal(lateTwin(withEnded(HOP, late), { ...HOP, redelivered: true }), late);
  }
});

test('a first copy that the broker gives out for the first time is nobody’s twin: its ID was reused', () => {
  assert.equal(lateTwin(withEnded(FIRST), FIRST), undefined);
});

test('a republished copy is nobody’s twin when its message was published at another time: its ID was reused', () => {
  assert.equal(lateTwin(withEnded(HOP), { ...HOP, publishedAt: HOP.publishedAt + 1 }), undefined);
  assert.equal(lateTwin(withEnded(FIRST), { ...FIRST, redelivered: true, publishedAt: FIRST.publishedAt + 1 }), ACK);
});

test('a copy of another hop is no twin', () => {
  assert.equal(lateTwin(withEnded(FIRST), HOP), undefined);
  assert.equal(lateTwin(withEnded(HOP), { ...FIRST, redelivered: true }), undefined);
  assert.equal(lateTwin(withEnded(HOP), { ...HOP, hop: 2 }), undefined);
});

test('a reused message ID with another body is not taken for a late twin: it would never be sent', () => {
  const change = delivery({ ...HOP, body: '{"id":2}', fingerprint: HOP.fingerprint + 1 });
  assert.equal(lateTwin(withEnded(HOP), change), undefined);
  assert.equal(lateTwin(withEnded(HOP, PARK), change), undefined);
});

test('copies that come and go in any order are found while they are in hand, each under its own key', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 20 }), { maxLength: 300 }), (numbers) => {
      const ledger = new Ledger();
      const inHand = new Map<number, Entry>();
      for (const number of numbers) {
        const entry = inHand.get(number);
        if (entry === undefined) {
          const fresh = entryFor({ ...FIRST, identity: `m-${number}` });
          assert.equal(ledger.add(fresh), true);
          inHand.set(number, fresh);
        } else {
          ledger.end(entry, ACK);
          inHand.delete(number);
        }
        assert.deepEqual(new Set(ledger.entries()), new Set(inHand.values()));
        assert.equal(ledger.size, inHand.size);
        for (const kept of inHand.values()) assert.equal(sameCopy(ledger, kept.delivery), kept);
      }
    }),
  );
});

test('what was settled last is what a twin is settled with', () => {
  const ledger = withEnded(HOP, 'released');
  const again = entryFor(HOP);
  ledger.add(again);
  ledger.end(again, PARK);
  assert.equal(lateTwin(ledger, HOP), PARK);
});

test('the window holds the last 65,536 copies, no more than twice as many, and keeps new ones and republished apart', () => {
  const numbered = (number: number, hop: number): Delivery => ({ ...HOP, identity: `n-${number}`, hop });
  const ledger = new Ledger();
  ledger.end(entryFor(HOP), ACK);
  for (const hop of [0, 1]) {
    const known = (number: number): boolean =>
      lateTwin(ledger, { ...numbered(number, hop), redelivered: true }) === ACK;
    for (let number = 0; number < 3 * GENERATION; number++) {
      if (number > GENERATION) assert.ok(known(number - GENERATION), `${number - GENERATION} after ${number}`);
      ledger.end(entryFor(numbered(number, hop)), ACK);
    }
    assert.equal(known(3 * GENERATION - 1), true);
    assert.equal(known(GENERATION - 1), false, 'memory grows without bound');
    // A rush of new orders does not push out what was republished; a rush of those does.
    assert.equal(lateTwin(ledger, HOP), hop === 0 ? ACK : undefined);
  }
});
