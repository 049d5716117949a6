import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Replay } from '../../src/admin/replay.ts';
import { systemClock } from '../../src/clock.ts';
import type { DeadLetter } from '../../src/dead-letter.ts';
import { deadLetter } from './dead-letter.ts';

/** A replay that publishes without delay, whose confirms come when the test says so. */
class Bench {
  readonly published: string[] = [];
  readonly acked: string[] = [];
  readonly confirms: (() => void)[] = [];
  readonly replay: Replay<string>;
  readonly stop: AbortController = new AbortController();

  constructor(t: TestContext, limit?: number) {
    this.replay = new Replay<string>(
      { ratePerSecond: 1_000_000, limit, clock: systemClock },
      {
        publish: (arrival, _letter, done) => {
          this.published.push(arrival);
          this.confirms.push(done);
        },
        ack: (arrival) => this.acked.push(arrival),
      },
    );
    t.after(() => this.stop.abort());
  }

  offer(arrival: string, letter: Partial<DeadLetter> = {}): boolean {
    return this.replay.offer(deadLetter({ identity: arrival, ...letter }), () => arrival);
  }

  /** Runs it; resolves with its end when this many have been published. */
  async runs(count: number): Promise<{ readonly ended: Promise<void> }> {
    const ended = this.replay.run(this.stop.signal);
    while (this.confirms.length < count) await new Promise((resolve) => setImmediate(resolve));
    return { ended };
  }
}

test('a letter is acknowledged when its copy is confirmed, and not before', async (t) => {
  const bench = new Bench(t);
  bench.offer('a');
  bench.offer('b');
  const { ended } = await bench.runs(2);
  assert.deepEqual([bench.published, bench.acked, bench.replay.unconfirmed], [['a', 'b'], [], 2]);
  bench.confirms[1]?.();
  assert.deepEqual(bench.acked, ['b']);
  bench.confirms[0]?.();
  await ended;
  assert.deepEqual([bench.acked, bench.replay.replayed, bench.replay.pending], [['b', 'a'], 2, 0]);
});

test('a second copy waits for the confirm of the first, and is acknowledged with it', async (t) => {
  const bench = new Bench(t);
  assert.equal(bench.offer('first', { identity: 'id' }), true);
  assert.equal(bench.offer('second', { identity: 'id' }), false);
  const { ended } = await bench.runs(1);
  bench.offer('third', { identity: 'id' });
  assert.deepEqual(bench.acked, []);
  bench.confirms[0]?.();
  await ended;
  assert.deepEqual([bench.published, bench.acked], [['first'], ['first', 'second', 'third']]);
  assert.deepEqual([bench.replay.replayed, bench.replay.joined], [1, 2]);
});

test('another hop, another body or no identity at all is no second copy', async (t) => {
  const bench = new Bench(t);
  bench.offer('a', { identity: 'id' });
  bench.offer('b', { identity: 'id', hop: 4 });
  bench.offer('c', { identity: 'id', fingerprint: 2 });
  bench.offer('d', { identity: '' });
  bench.offer('e', { identity: '' });
  const { ended } = await bench.runs(5);
  for (const confirm of bench.confirms) confirm();
  await ended;
  assert.deepEqual(bench.published, ['a', 'b', 'c', 'd', 'e']);
});

test('a letter whose acknowledgement was lost is acknowledged at its next arrival, without another copy', async (t) => {
  const bench = new Bench(t);
  for (const name of ['confirmed', 'published']) bench.offer(name);
  const { ended } = await bench.runs(2);
  bench.confirms[0]?.();
  bench.acked.length = 0; // never arrived
  bench.replay.endRound();
  for (const name of ['confirmed', 'published']) assert.equal(bench.offer(`${name} again`, { identity: name }), false);
  assert.deepEqual(bench.acked, ['confirmed again']);
  bench.confirms[1]?.();
  await ended;
  assert.deepEqual(bench.acked, ['confirmed again', 'published again']); // the first arrival is gone
  assert.equal(bench.published.length, 2);
});

test('what a lost round had not published is published in the next', async (t) => {
  const bench = new Bench(t);
  bench.offer('a');
  bench.replay.endRound();
  assert.equal(bench.replay.pending, 0);
  assert.equal(bench.offer('a'), true);
  const { ended } = await bench.runs(1);
  bench.confirms[0]?.();
  await ended;
  assert.deepEqual(bench.published, ['a']);
});

test('a letter that has died again since its replay is left for the next time', async (t) => {
  const bench = new Bench(t);
  bench.offer('a');
  const { ended } = await bench.runs(1);
  bench.confirms[0]?.();
  await ended;
  assert.equal(bench.offer('a', { hop: 8, replayedAt: 5 }), false);
  assert.deepEqual([bench.replay.diedAgain, bench.replay.pending], [1, 0]);
});

test('no more than the limit is taken over all rounds, and what is over it is not left for another', (t) => {
  const bench = new Bench(t, 2);
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => bench.offer(name)),
    [true, true, false],
  );
  assert.equal(bench.replay.left, 0);
});

test('bodies are held up to a bound, and what is over it is left for the next round', (t) => {
  const bench = new Bench(t);
  const large = { bytes: 40 * 2 ** 20 };
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => bench.offer(name, large)),
    [true, true, false],
  );
  assert.equal(bench.replay.left, 1);
});

test('a stop publishes nothing more, and what is unconfirmed can still be waited for', async (t) => {
  const bench = new Bench(t);
  for (let n = 0; n < 150; n++) bench.offer(`id-${n}`);
  const { ended } = await bench.runs(100);
  bench.stop.abort();
  await ended;
  assert.deepEqual([bench.published.length, bench.replay.unconfirmed], [100, 100]);
  const confirmed = bench.replay.confirmed(new AbortController().signal);
  for (const confirm of bench.confirms) confirm();
  await confirmed;
  assert.deepEqual([bench.acked.length, bench.replay.unconfirmed], [100, 0]);
});
