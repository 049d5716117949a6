import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Scheduler } from '../../src/dispatcher/scheduler.ts';
import { Lane, type Waiting } from '../../src/lane/lane.ts';
import { merchant } from '../helpers/deliveries.ts';

type TestLane = Lane<Waiting>;

function lane(id: string, weight = 1): TestLane {
  return new Lane<Waiting>(merchant({ id, weight }), 0);
}

const yes = (): boolean => true;

function offered(lanes: readonly TestLane[]): Scheduler<Waiting> {
  const scheduler = new Scheduler<Waiting>(yes);
  for (const each of lanes) scheduler.offer(each);
  return scheduler;
}

function turns(scheduler: Scheduler<Waiting>, count: number): string {
  return Array.from({ length: count }, () => scheduler.next(yes)?.merchantId ?? '-').join('');
}

test('nobody in line means nobody next', () => {
  assert.equal(new Scheduler<Waiting>(yes).next(yes), undefined);
});

test('lanes of equal weight take turns, and offering one twice gives it no second place', () => {
  const [a, b, c] = [lane('a'), lane('b'), lane('c')];
  const scheduler = offered([a, b, a, c, c]);
  assert.equal(turns(scheduler, 9), 'abcabcabc');
});

test('a lane of weight 3 takes three turns where one of weight 1 takes one', () => {
  assert.equal(turns(offered([lane('a', 3), lane('b'), lane('c', 2)]), 12), 'aaabccaaabcc');
});

test('a lane that has had its turn stands behind the others, whether it may start more or not', () => {
  const scheduler = offered([lane('a'), lane('b'), lane('c')]);
  assert.equal(scheduler.next(yes)?.merchantId, 'a');
  const asked: string[] = [];
  const no = ({ merchantId }: TestLane): boolean => {
    asked.push(merchantId);
    return false;
  };
  assert.equal(scheduler.next(no), undefined);
  assert.deepEqual(asked, ['b', 'c', 'a']);
});

test('over a long run contending lanes share the turns exactly by weight', () => {
  const weights = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 50 }), (each, rounds) => {
      const lanes = each.map((weight, index) => lane(String(index), weight));
      const scheduler = offered(lanes);
      const taken = new Map<TestLane, number>();
      const total = each.reduce((sum, weight) => sum + weight, 0) * rounds;
      for (let turn = 0; turn < total; turn++) {
        const next = scheduler.next(yes) as TestLane;
        taken.set(next, (taken.get(next) ?? 0) + 1);
      }
      for (const one of lanes) assert.equal(taken.get(one), one.merchant.weight * rounds);
    }),
  );
});

test('a lane that may not start leaves the line, and returns at its end when it is offered again', () => {
  const [a, b, c] = [lane('a'), lane('b'), lane('c')];
  const scheduler = offered([a, b, c]);
  const next = (barred?: TestLane): string => scheduler.next((each) => each !== barred)?.merchantId ?? '-';
  assert.equal(next(a), 'b');
  assert.equal(a.inRing, false);
  assert.equal(turns(scheduler, 4), 'cbcb'); // it may start again, but nobody has said so
  scheduler.offer(a);
  assert.equal(turns(scheduler, 6), 'cabcab');
});

test('a weight that the directory has changed counts from the round after the next turn on', () => {
  const [a, b] = [lane('a'), lane('b')];
  const scheduler = offered([a, b]);
  assert.equal(turns(scheduler, 4), 'abab');
  a.merchant = merchant({ id: 'a', weight: 3 });
  assert.equal(turns(scheduler, 9), 'abaaabaaa');
});

test('a turn costs the same with 100,000 lanes in line as with 10, and lanes that may not start are asked once', () => {
  for (const count of [10, 100_000]) {
    const lanes = Array.from({ length: count }, (_, index) => lane(String(index)));
    const scheduler = offered(lanes);
    let asked = 0;
    const ask = (each: TestLane): boolean => {
      asked++;
      return Number(each.merchantId) % 2 === 1;
    };
    // A turn asks the lane that had the last one, and the next one; whoever has to leave is asked once more in all.
    for (let turn = 0; turn < 2 * count; turn++) scheduler.next(ask);
    assert.ok(asked <= 2 * 2 * count + count / 2, `${asked} questions for ${2 * count} turns of ${count} lanes`);
  }
});

test('no lane that may start waits for longer than a round of the others', () => {
  const laneOf = fc.record({ weight: fc.integer({ min: 1, max: 5 }), blockedEvery: fc.integer({ min: 2, max: 9 }) });
  fc.assert(
    fc.property(fc.array(laneOf, { minLength: 2, maxLength: 12 }), (others) => {
      const patient = lane('patient');
      const lanes = others.map(({ weight }, index) => lane(String(index), weight));
      const scheduler = offered([...lanes, patient]);
      const round = others.reduce((sum, { weight }) => sum + 2 * weight, 1);
      let waited = 0;
      for (let turn = 0; turn < 3000; turn++) {
        const next = scheduler.next((each) => {
          if (each === patient) return true;
          const { blockedEvery } = others[Number(each.merchantId)] as (typeof others)[number];
          return turn % blockedEvery !== 0;
        });
        waited = next === patient ? 0 : waited + 1;
        assert.ok(waited <= round, `${waited} turns without one`);
        // Lanes that had to leave come back at once, as they do when an order of theirs ends.
        for (const each of lanes) scheduler.offer(each);
      }
    }),
    { numRuns: 30 },
  );
});

/** A lane that stood still, and has what came meanwhile to serve. */
function behind(id: string, weight = 1, shard = 0): TestLane {
  const made = new Lane<Waiting>(merchant({ id, weight }), shard);
  made.catchesUp = true;
  return made;
}

test('lanes that catch up have every fourth turn, and by weight among themselves', () => {
  assert.equal(turns(offered([behind('l'), behind('m', 2), lane('a'), lane('b')]), 16), 'abalbabmabambabl');
});

test('a lane that catches up has no more turns than it would have in one line with the others', () => {
  const others = Array.from({ length: 9 }, (_, n) => lane(String(n)));
  const names = turns(offered([behind('l'), ...others]), 30);
  assert.equal(names.replaceAll(/\d/g, '').length, 3, names);
});

test('turns that a lane that catches up could not have had do not count', () => {
  const full = new Set([1]);
  const scheduler = new Scheduler<Waiting>((shard) => !full.has(shard));
  const beside = new Lane<Waiting>(merchant({ id: 'a' }), 1);
  for (const each of [behind('l', 1, 1), beside, lane('b')]) scheduler.offer(each);
  assert.equal(turns(scheduler, 5), 'bbbbb');
  full.delete(1);
  full.add(0);
  assert.equal(turns(scheduler, 8), 'aaalaaal');
});

test('lanes that catch up have all turns when nobody else may start', () => {
  const scheduler = offered([behind('l'), behind('m'), lane('a')]);
  const barred = ({ merchantId }: TestLane): boolean => merchantId !== 'a';
  const names = Array.from({ length: 6 }, () => scheduler.next(barred)?.merchantId).join('');
  assert.equal(names, 'lmlmlm');
});

test('while a shard has no room for lanes that catch up, the others go on, and then they come from where they stood', () => {
  const paced = new Set([0]);
  const scheduler = new Scheduler<Waiting>((shard, catchesUp) => !(catchesUp && paced.has(shard)));
  const l = behind('l');
  for (const each of [l, behind('m'), behind('o', 1, 1), lane('a')]) scheduler.offer(each);
  assert.equal(turns(scheduler, 8), 'aaaoaaao');
  l.catchesUp = false;
  assert.equal(turns(scheduler, 2), 'aa');
  assert.equal(turns(scheduler, 4), 'alaa');
  paced.clear();
  assert.equal(turns(scheduler, 12), 'amlalamlaloa');
});

test('a lane that has caught up stands with the others from its next turn on', () => {
  const [a, b] = [behind('a'), lane('b')];
  const scheduler = offered([a, b]);
  assert.equal(turns(scheduler, 8), 'bbbabbba');
  a.catchesUp = false;
  assert.equal(turns(scheduler, 8), 'bbbababa');
});

test('lanes of a shard without room keep their places, and the others go on', () => {
  const full = new Set([1]);
  const scheduler = new Scheduler<Waiting>((shard) => !full.has(shard));
  const on = (shard: number, id: string, weight = 1): TestLane => new Lane<Waiting>(merchant({ id, weight }), shard);
  for (const each of [on(0, 'a'), on(1, 'p'), on(0, 'b'), on(1, 'q', 2), on(2, 'c')]) scheduler.offer(each);
  assert.equal(turns(scheduler, 5), 'abcab');
  full.clear();
  assert.equal(turns(scheduler, 9), 'pqqcapqqb');
  for (const shard of [0, 1, 2]) full.add(shard);
  assert.equal(turns(scheduler, 1), '-');
  assert.deepEqual([...scheduler].map(({ merchantId }) => merchantId).toSorted(), ['a', 'b', 'c', 'p', 'q']);
});
