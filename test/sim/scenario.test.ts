import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Random, seeded } from '../../src/sim/random.ts';
import {
  type Behaviour,
  behaviourAt,
  parseScenario,
  parseScenarioText,
  RateGate,
  react,
  rulesFor,
  type Scenario,
  ScenarioFile,
  sampleLatency,
} from '../../src/sim/scenario.ts';

const NAMES = Array.from({ length: 20_000 }, (_, i) => `merchant-${i}`);

/** Draws the given numbers, one after the other. */
function draws(...numbers: number[]): Random {
  return () => numbers.shift() ?? assert.fail('one draw too many');
}

test('an empty scenario is one in which everyone accepts at once', () => {
  const scenario = parseScenario({});
  assert.deepEqual(scenario, { seed: 1, default: {}, rules: [] });
  assert.deepEqual(react(scenario.default, scenario, true, draws()), { kind: 'answer', status: 200, afterMs: 0 });
});

test('durations are read with their units and left-out values are filled in', () => {
  const scenario = parseScenario({
    default: { latency: { distribution: 'uniform', min: '80ms', max: '1.5s' } },
    rules: [{ merchants: { ids: ['m'] }, rateLimited: { perSecond: 5, retryAfter: '2s' }, failing: { status: 500 } }],
  });
  assert.deepEqual(scenario.default.latency, { distribution: 'uniform', min: 80, max: 1500 });
  assert.deepEqual(scenario.rules[0], {
    merchants: { ids: new Set(['m']) },
    rateLimited: { perSecond: 5, retryAfter: 2000, status: 429 },
    failing: { status: 500, fraction: 1 },
    from: 0,
  });
});

test('a bad scenario is refused with the place, what was expected and what came', () => {
  const one = (rule: object): object => ({ rules: [{ merchants: { ids: ['m'] }, ...rule }] });
  const cases: [unknown, string][] = [
    [[], 'slow.json: expected object, got []'],
    [{ seeds: 1 }, 'slow.json: expected only seed, default, rules, got seeds'],
    [{ seed: -1 }, 'slow.json: seed: expected number to be >=0, got -1'],
    [{ default: { silent: 'yes' } }, 'slow.json: default.silent: expected boolean, got "yes"'],
    [{ rules: [{}] }, 'slow.json: rules[0].merchants: expected object, got nothing'],
    [{ rules: [{ merchants: {} }] }, 'slow.json: rules[0].merchants: expected one of ids, prefix, fraction, got {}'],
    [
      { rules: [{ merchants: { prefix: 'a', fraction: 0.1 } }] },
      'slow.json: rules[0].merchants: expected one of ids, prefix, fraction, got {"prefix":"a","fraction":0.1}',
    ],
    [{ rules: [{ merchants: { fraction: 5 } }] }, 'rules[0].merchants.fraction: expected number to be <=1, got 5'],
    [one({ from: 10 }), 'rules[0].from: expected string, got 10'],
    [one({ from: '10' }), 'rules[0].from: expected a duration such as "80ms" or "5s", got "10"'],
    [one({ from: '5s', until: '5s' }), 'rules[0].until: expected later than "from", got "5s"'],
    [one({ slient: true }), 'rules[0]: expected only merchants, latency, '],
    [one({ failing: { status: 200 } }), 'rules[0].failing.status: expected number to be >=300, got 200'],
    [
      one({ rateLimited: { perSecond: 1, retryAfter: '1s', status: 500 } }),
      'rules[0].rateLimited.status: expected one of 429|503, got 500',
    ],
    [
      one({ latency: { distribution: 'normal' } }),
      'rules[0].latency.distribution: expected one of fixed, uniform, log-normal, bimodal, got "normal"',
    ],
    [
      one({ latency: { distribution: 'uniform', min: '2s', max: '1s' } }),
      'rules[0].latency.max: expected at least "min", got "1s"',
    ],
    [one({ latency: { distribution: 'fixed' } }), 'rules[0].latency.value: expected string, got nothing'],
  ];
  for (const [value, expected] of cases) {
    assert.throws(
      () => parseScenario(value, 'slow.json'),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'USAGE');
        assert.ok(error.message.includes(expected), `expected ${expected}\n     got ${error.message}`);
        return true;
      },
    );
  }
});

test('all faults of a scenario are told at once', () => {
  assert.throws(() => parseScenario({ seed: 'x', rules: 1 }, 'slow.json'), {
    message: 'slow.json: seed: expected number, got "x"; rules: expected array, got 1',
  });
});

test('text that is not JSON is refused with its source', () => {
  assert.throws(() => parseScenarioText('{', 'slow.json'), {
    code: 'USAGE',
    message: /^slow\.json: expected JSON, got text that is not JSON \(at line 1, column 2\)/,
  });
});

test('IDs and prefixes name exactly their merchants', () => {
  const scenario = parseScenario({
    rules: [{ merchants: { ids: ['a', '__proto__'] } }, { merchants: { prefix: 'a' } }],
  });
  const [ids, prefix] = scenario.rules;
  assert.deepEqual(rulesFor(scenario, 'a'), [ids, prefix]);
  assert.deepEqual(rulesFor(scenario, 'ab'), [prefix]);
  assert.deepEqual(rulesFor(scenario, '__proto__'), [ids]);
  assert.deepEqual(rulesFor(scenario, 'b'), []);
});

test('fractions take their share of the merchants, each others than the one before', () => {
  const scenario = parseScenario({ rules: [{ merchants: { fraction: 0.1 } }, { merchants: { fraction: 0.02 } }] });
  const counts = [0, 0];
  for (const name of NAMES) {
    const rules = rulesFor(scenario, name);
    assert.ok(rules.length <= 1, `${name} is in both fractions`);
    for (const rule of rules) counts[scenario.rules.indexOf(rule)]! += 1;
  }
  assert.ok(Math.abs(counts[0]! / NAMES.length - 0.1) < 0.01, String(counts));
  assert.ok(Math.abs(counts[1]! / NAMES.length - 0.02) < 0.005, String(counts));
});

test('fractions past the whole start over, and a fraction of 1 is everyone', () => {
  const scenario = parseScenario({ rules: [0.75, 0.5, 1].map((fraction) => ({ merchants: { fraction } })) });
  const [most, half, all] = scenario.rules;
  const both = NAMES.filter(
    (name) => rulesFor(scenario, name).includes(most!) && rulesFor(scenario, name).includes(half!),
  );
  assert.ok(Math.abs(both.length / NAMES.length - 0.25) < 0.02, String(both.length));
  assert.ok(NAMES.every((name) => rulesFor(scenario, name).includes(all!)));
});

test('a fraction chooses the same merchants in every run, and others with another seed', () => {
  const chosen = (seed: number): string[] => {
    const scenario = parseScenario({ seed, rules: [{ merchants: { fraction: 0.3 } }] });
    return NAMES.slice(0, 20).filter((name) => rulesFor(scenario, name).length > 0);
  };
  assert.deepEqual(chosen(1), ['merchant-0', 'merchant-2', 'merchant-4', 'merchant-11', 'merchant-19']);
  assert.notDeepEqual(chosen(2), chosen(1));
});

test('the first rule whose time has come decides, from its start up to, but not at, its end', () => {
  const scenario = parseScenario({
    default: { failing: { status: 501 } },
    rules: [
      { merchants: { ids: ['m'] }, silent: true, from: '10s', until: '20s' },
      { merchants: { ids: ['m'] }, failing: { status: 500 }, from: '5s' },
    ],
  });
  const [outage, failing] = scenario.rules;
  const at = (ms: number): Behaviour => behaviourAt(scenario, rulesFor(scenario, 'm'), ms);
  assert.equal(at(0), scenario.default);
  assert.equal(at(4999), scenario.default);
  assert.equal(at(5000), failing);
  assert.equal(at(10_000), outage);
  assert.equal(at(19_999), outage);
  assert.equal(at(20_000), failing);
  assert.equal(behaviourAt(scenario, rulesFor(scenario, 'n'), 15_000), scenario.default);
});

test('latencies follow their distribution', () => {
  assert.equal(sampleLatency({ distribution: 'fixed', value: 80 }, draws()), 80);
  assert.equal(sampleLatency({ distribution: 'uniform', min: 100, max: 200 }, draws(0.25)), 125);
  const bimodal = { distribution: 'bimodal', fast: 50, slow: 5000, slowFraction: 0.1 } as const;
  assert.equal(sampleLatency(bimodal, draws(0.05)), 5000);
  assert.equal(sampleLatency(bimodal, draws(0.1)), 50);
});

test('half of the log-normal latencies are below the median, and 84% below one sigma more', () => {
  const random = seeded(7);
  const samples = Array.from({ length: 20_000 }, () =>
    sampleLatency({ distribution: 'log-normal', median: 80, sigma: 0.5 }, random),
  );
  const below = (limit: number): number => samples.filter((ms) => ms < limit).length / samples.length;
  assert.ok(Math.abs(below(80) - 0.5) < 0.02, String(below(80)));
  assert.ok(Math.abs(below(80 * Math.exp(0.5)) - 0.841) < 0.02);
  assert.ok(samples.every((ms) => ms > 0));
});

test('a merchant over its rate refuses at once, whatever else is wrong with it', () => {
  const now: Behaviour = { silent: true, rateLimited: { perSecond: 1, retryAfter: 1500, status: 503 } };
  const scenario: Scenario = parseScenario({});
  assert.deepEqual(react(now, scenario, false, draws()), { kind: 'answer', status: 503, afterMs: 0, retryAfterS: 2 });
  assert.deepEqual(react(now, scenario, true, draws()), { kind: 'silent' });
});

test('resets and failures come after the latency, in their share of the requests', () => {
  const scenario = parseScenario({ default: { latency: { distribution: 'fixed', value: '30ms' } } });
  const now: Behaviour = { resetting: { fraction: 0.2 }, failing: { status: 502, fraction: 0.5 } };
  assert.deepEqual(react(now, scenario, true, draws(0.19)), { kind: 'reset', afterMs: 30 });
  assert.deepEqual(react(now, scenario, true, draws(0.2, 0.49)), { kind: 'answer', status: 502, afterMs: 30 });
  assert.deepEqual(react(now, scenario, true, draws(0.2, 0.5)), { kind: 'answer', status: 200, afterMs: 30 });
  const own: Behaviour = { latency: { distribution: 'fixed', value: 7 } };
  assert.deepEqual(react(own, scenario, true, draws()), { kind: 'answer', status: 200, afterMs: 7 });
});

test('a rate gate lets a second of requests through at once, then as many as the rate', () => {
  const gate = new RateGate(2, 0);
  assert.deepEqual(
    [0, 0, 0, 499, 500, 501].map((ms) => gate.take(ms)),
    [true, true, false, false, true, false],
  );
  assert.deepEqual(
    [60_000, 60_000, 60_000].map((ms) => gate.take(ms)),
    [true, true, false],
  );
  const slow = new RateGate(0.5, 0);
  assert.deepEqual(
    [0, 1000, 2000].map((ms) => slow.take(ms)),
    [true, false, true],
  );
});

test('a changed file is read again; a bad or missing one is told once and changes nothing', ({ mock }) => {
  mock.timers.enable({ apis: ['setInterval'] });
  const folder = mkdtempSync(join(tmpdir(), 'orderlane-scenario-'));
  const file = join(folder, 'scenario.json');
  try {
    assert.throws(() => new ScenarioFile(file), { code: 'USAGE', message: /expected a scenario file: ENOENT/ });
    writeFileSync(file, '{"seed":1}');
    const scenarioFile = new ScenarioFile(file);
    assert.equal(scenarioFile.scenario.seed, 1);
    let came: (number | string)[] = [];
    const unwatch = scenarioFile.watch(
      ({ seed }) => came.push(seed),
      (problem) => came.push(problem),
    );
    const after = (change: () => void): (number | string)[] => {
      came = [];
      change();
      mock.timers.tick(1000);
      return came;
    };
    assert.deepEqual(
      after(() => {}),
      [],
    );
    assert.deepEqual(
      after(() => writeFileSync(file, '{"seed":2}')),
      [2],
    );
    assert.deepEqual(
      after(() => writeFileSync(file, '{"seed":"x"}')),
      [`${file}: seed: expected number, got "x"`],
    );
    assert.match(after(() => rmSync(file)).join(), /^[^,]*expected a scenario file: ENOENT[^]*scenario\.json'$/);
    writeFileSync(`${file}.new`, '{"seed":2}');
    assert.deepEqual(
      after(() => renameSync(`${file}.new`, file)),
      [2],
      'good again',
    );
    unwatch();
    assert.deepEqual(
      after(() => writeFileSync(file, '{"seed":3}')),
      [],
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
