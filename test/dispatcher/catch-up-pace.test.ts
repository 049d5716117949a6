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

/** So many looks at which all that there is room for is handed over; returns how many that were each time. */
function looks(pace: CatchUpPace, count: number, begun: number, use: number): number[] {
  return Array.from({ length: count }, () => {
    const handed = fill(pace);
    pace.look(begun, use);
    return handed;
  });
}

test('while the thread has time to spare there is room for a sixteenth more with each look, as long as it is used', () => {
  const pace = new CatchUpPace();
  assert.equal(fill(pace), 16);
  pace.look(1600, IDLE);
  assert.deepEqual(looks(pace, 2, 200, IDLE), [101, 107]);
  assert.equal(fill(pace, 10), 10);
  pace.look(200, IDLE);
  assert.equal(fill(pace), 101); // of 114
});

test('a busy moment takes nothing back', () => {
  const pace = new CatchUpPace();
  for (let look = 0; look < 30; look++) pace.look(1600, IDLE);
  assert.deepEqual(looks(pace, 1, 1600, 1), [100]);
  assert.deepEqual(looks(pace, 1, 1600, IDLE), [106]);
});

test('a thread without time to spare is handed a ninth less with each look, down to a sixteenth of what it begins', () => {
  const pace = new CatchUpPace();
  for (let look = 0; look < 30; look++) pace.look(1600, BUSY);
  assert.deepEqual(looks(pace, 5, 320, BUSY), [100, 89, 79, 70, 62]);
  assert.equal(looks(pace, 20, 320, BUSY).at(-1), 21);
});

test('those that have waited for long have more and more of what a thread begins, and what they waited is soon forgotten', () => {
  const pace = new CatchUpPace();
  const handed = looks(pace, 1001, 1000, BUSY);
  assert.deepEqual(
    [300, 600, 1000].map((look) => handed[look]),
    [122, 297, 714],
  );
  for (let look = 0; look < 22; look++) pace.look(1000, BUSY); // nobody waits
  assert.ok(fill(pace) < 100);
});

test('nothing is taken back for the sake of others that are hardly there', () => {
  const pace = new CatchUpPace();
  for (let look = 0; look < 30; look++) pace.look(1600, BUSY);
  assert.deepEqual(looks(pace, 1, 110, BUSY), [100]);
  assert.deepEqual(looks(pace, 1, 150, BUSY), [106]);
  assert.equal(fill(pace), 94);
});

test('whatever a thread does, some may always go', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: 5000 }), fc.float({ min: 0, max: 1, noNaN: true }))), (looks) => {
      const pace = new CatchUpPace();
      for (const [begun, use] of looks) {
        pace.look(begun, use);
        assert.ok(fill(pace) >= Math.max(16, begun / 16));
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
