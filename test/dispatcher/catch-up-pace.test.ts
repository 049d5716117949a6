import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CatchUpPace } from '../../src/dispatcher/catch-up-pace.ts';

const [IDLE, BUSY] = [0.5, 0.95];

/** Hands over all that there is room for, `most` at most, and returns how many that were. */
function fill(pace: CatchUpPace, most = Number.POSITIVE_INFINITY): number {
  let count = 0;
  for (; count < most && pace.hasRoom; count++) pace.handed();
  return count;
}

test('while the thread has time to spare there is room for a quarter more with each look, as long as it is used', () => {
  const pace = new CatchUpPace();
  assert.equal(fill(pace), 16);
  pace.look(60, IDLE);
  assert.equal(fill(pace), 20);
  pace.look(60, IDLE);
  assert.equal(fill(pace), 25);
  pace.look(60, IDLE);
  assert.equal(fill(pace, 10), 10);
  pace.look(60, IDLE);
  assert.equal(fill(pace), 23); // of 31
});

test('a thread without time to spare is handed a quarter less with each look, down to a fourth of what it begins', () => {
  const pace = new CatchUpPace();
  pace.look(400, IDLE);
  assert.equal(fill(pace), 100);
  pace.look(200, BUSY);
  assert.equal(fill(pace), 75);
  pace.look(200, BUSY);
  assert.equal(fill(pace), 56);
  pace.look(200, BUSY);
  assert.equal(fill(pace), 51);
  pace.look(200, BUSY);
  assert.equal(fill(pace), 51);
});

test('those that have waited for long have more and more of what a thread begins, and what they waited is soon forgotten', () => {
  const pace = new CatchUpPace();
  const shares: number[] = [];
  for (let look = 0; look <= 800; look++) {
    const handed = fill(pace);
    pace.look(1000, BUSY);
    if (look % 400 === 0) shares.push(handed);
  }
  assert.deepEqual(shares, [16, 500, 750]);
  for (let look = 0; look < 11; look++) pace.look(1000, BUSY); // nobody waits
  assert.ok(fill(pace) < 300);
});

test('nothing is taken back for the sake of others that are hardly there', () => {
  const pace = new CatchUpPace();
  pace.look(400, IDLE);
  assert.equal(fill(pace), 100);
  pace.look(110, BUSY);
  assert.equal(fill(pace), 125);
  pace.look(150, BUSY);
  assert.equal(fill(pace), 94);
});

test('whatever a thread does, some may always go', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: 5000 }), fc.float({ min: 0, max: 1, noNaN: true }))), (looks) => {
      const pace = new CatchUpPace();
      for (const [begun, use] of looks) {
        pace.look(begun, use);
        assert.ok(fill(pace) >= Math.max(16, begun / 4));
      }
    }),
  );
});

test('a machine that can begin 300 from look to look is used for four fifths, and for little more', () => {
  const pace = new CatchUpPace();
  const others = 150;
  const uses: number[] = [];
  for (let look = 0; look < 100; look++) {
    const begun = others + fill(pace);
    uses.push(begun / 300);
    pace.look(begun, Math.min(1, begun / 300));
  }
  const settled = uses.slice(20);
  assert.ok(Math.min(...settled) > 0.65, `${Math.min(...settled)}`);
  assert.ok(Math.max(...settled) < 0.95, `${Math.max(...settled)}`);
});
