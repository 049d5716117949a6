import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PART, Round } from '../../src/dispatcher/round.ts';

function numbers(count: number): Set<number> {
  return new Set(Array.from({ length: count }, (_, n) => n));
}

test('a round goes through everything once, a bounded part at a time', () => {
  const round = new Round(numbers(2 * PART + 1));
  assert.ok(round.isOver);
  assert.deepEqual([...round.part()], [], 'none is under way');
  round.begin();
  const parts: number[][] = [];
  while (!round.isOver) parts.push([...round.part()]);
  assert.deepEqual(
    parts.map(({ length }) => length),
    [PART, PART, 1],
  );
  assert.deepEqual(new Set(parts.flat()), numbers(2 * PART + 1));
});

test('beginning goes on with a round that is under way', () => {
  const round = new Round(numbers(PART + 2));
  round.begin();
  assert.equal([...round.part()].length, PART);
  round.begin();
  assert.deepEqual([...round.part()], [PART, PART + 1]);
  assert.ok(round.isOver);
});

test('a round that is wanted anew ends and is followed by one more, however often that was asked', () => {
  const round = new Round(numbers(PART + 2));
  round.beginAnew();
  round.part().next();
  const seen: number[] = [];
  for (let parts = 0; parts < 2; parts++) {
    round.beginAnew();
    seen.push(...round.part());
  }
  assert.equal(seen.at(-1), PART + 1, 'the last ones are kept from their turn');
  assert.equal([...round.part(), ...round.part()].length, PART + 2);
  assert.ok(round.isOver);
});

test('a round ends although more comes than a part of it takes', () => {
  const all = numbers(PART + 1);
  const round = new Round(all);
  round.begin();
  let seen = 0;
  for (let parts = 0; !round.isOver; parts++) {
    assert.ok(parts < 3, 'it does not end');
    for (let n = 0; n < 2 * PART; n++) all.add(all.size);
    seen += [...round.part()].length;
  }
  assert.equal(seen, PART + 1);
});

test('what is taken out meanwhile is not seen, and a round over nothing is over', () => {
  const all = numbers(PART + 5);
  const round = new Round(all);
  round.begin();
  for (const n of round.part()) all.delete(n);
  all.delete(PART + 1);
  assert.deepEqual([...round.part()], [PART, PART + 2, PART + 3, PART + 4]);
  assert.ok(round.isOver);
  const none = new Round(new Set());
  none.begin();
  assert.deepEqual([...none.part()], []);
  assert.ok(none.isOver);
});
