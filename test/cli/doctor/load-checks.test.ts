import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Survey } from '../../../src/broker/rabbitmq/survey.ts';
import { backlogCheck, budgetCheck, deadLettersCheck } from '../../../src/cli/doctor/load-checks.ts';

const budget = { concurrency: 4000, shards: 2, timeoutMs: 15_000, deadlineMs: 600_000 };

function survey(messages: number, consumers: number, dead = 0, ambiguous = 0): Survey {
  const source = { name: "queue 'orders'", standing: { kind: 'right', messages, consumers } } as const;
  return { source, others: [], dead, ambiguous, notPermitted: [], blocked: undefined };
}

test('a budget is judged by the rate it sees: in the usual case, and while three in ten merchants hang', () => {
  const judged = (publishedPerSecond: number): string =>
    budgetCheck(budget, 15_000, { publishedPerSecond, deliveredPerSecond: undefined }, true).verdict;
  // 0.3 x 15 s + 0.7 x 0.5 s = 4.85 calls in flight for each order a second.
  assert.deepEqual([100, 824, 825, 9000].map(judged), ['ok', 'ok', 'warn', 'warn']);
  const { what, fix } = budgetCheck(budget, 15_000, { publishedPerSecond: 0, deliveredPerSecond: 1000 }, true);
  assert.match(what, /1,000 orders\/s: with 30% of merchants hanging for 15s up to 4850 calls/);
  assert.match(fix ?? '', /--concurrency to 4850 or more/);
});

test('where nobody tells the rate, the one that it has room for is said, and where to look', () => {
  const unseen = budgetCheck(budget, 15_000, undefined, false);
  assert.equal(unseen.verdict, 'warn');
  assert.match(unseen.what, /room for 824 orders\/s/);
  assert.match(unseen.fix ?? '', /^give --management-url/);
  // Whoever has given it is not told to give it.
  assert.match(budgetCheck(budget, 15_000, undefined, true).fix ?? '', /^see why --management-url does not tell/);
  const idle = budgetCheck(budget, 15_000, { publishedPerSecond: 0, deliveredPerSecond: 0 }, true);
  assert.equal(idle.verdict, 'ok');
});

test('a backlog that cannot be sent before its deadline is warned of, and one that nobody takes', () => {
  const judged = (messages: number, consumers: number): string | undefined =>
    backlogCheck(survey(messages, consumers), budget, 2)[0]?.verdict;
  // Two threads make 10,000 calls a second at best, and the deadline is 600 s.
  assert.equal(judged(6_000_000, 1), 'ok');
  assert.equal(judged(6_010_000, 1), 'warn');
  assert.equal(judged(1, 0), 'warn');
  assert.equal(judged(0, 0), 'ok');
  // A process has up to 35 of them: they are not to be taken for processes.
  assert.match(
    backlogCheck(survey(5, 8), budget, 2)[0]?.what ?? '',
    /^5 ready in queue 'orders', and 8 consumers take them/,
  );
  const missing = { ...survey(0, 0), source: { name: "queue 'orders'", standing: { kind: 'missing' } } } as const;
  assert.deepEqual(backlogCheck(missing, budget, 2), []);
});

test('dead letters are warned of, with the command that shows them', () => {
  assert.equal(deadLettersCheck(survey(0, 1))[0]?.verdict, 'ok');
  const [finding] = deadLettersCheck(survey(0, 1, 7, 2));
  assert.match(finding?.what ?? '', /^7 dead, 2 that may have been sent$/);
  assert.match(finding?.fix ?? '', /orderlane dlq ls .*--from ambiguous/);
});
