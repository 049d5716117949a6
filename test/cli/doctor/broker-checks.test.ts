import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Standing, Survey } from '../../../src/broker/rabbitmq/survey.ts';
import {
  addressChecks,
  blockedCheck,
  managementChecks,
  permissionsCheck,
  permitCommand,
  topologyChecks,
  versionCheck,
} from '../../../src/cli/doctor/broker-checks.ts';
import type { Finding } from '../../../src/cli/doctor/finding.ts';

const RIGHT: Standing = { kind: 'right', messages: 0, consumers: 1 };

function surveyed(source: Standing = RIGHT, other: Standing = RIGHT, more: Partial<Survey> = {}): Survey {
  return {
    source: { name: "queue 'orders'", standing: source },
    others: [{ name: "queue 'orders.dead'", standing: other }],
    dead: 0,
    ambiguous: 0,
    notPermitted: [],
    blocked: undefined,
    ...more,
  };
}

const verdicts = (findings: readonly Finding[]): string[] => findings.map(({ verdict }) => verdict);

test('an address that is gone is borne while another answers; a refusal, or none that answers, fails', () => {
  const well = { address: 'amqp://a', version: '3.13.7' };
  const gone = { address: 'amqp://b', error: 'no broker at amqp://b' };
  assert.deepEqual(verdicts(addressChecks([well, gone])), ['ok', 'warn']);
  assert.deepEqual(verdicts(addressChecks([gone, gone])), ['fail', 'fail']);
  assert.deepEqual(verdicts(addressChecks([well, { ...gone, isFinal: true }])), ['ok', 'fail']);
});

test('versions before 3.10, and those that lose messages, fail', () => {
  const judged = (version: string): string => versionCheck(version, undefined).verdict;
  assert.deepEqual(['3.9.29', '3.10.8', '4.2.1', '2.8.0'].map(judged), ['fail', 'ok', 'ok', 'fail']);
  assert.equal(versionCheck('3.13.1', 'it loses messages').verdict, 'fail');
});

test('a missing queue is a warning where a start makes it, and fails where it may not', () => {
  const survey = surveyed(RIGHT, { kind: 'missing' });
  assert.deepEqual(verdicts(topologyChecks(survey, 'create')), ['warn']);
  assert.deepEqual(verdicts(topologyChecks(survey, 'passive')), ['fail']);
  assert.deepEqual(verdicts(topologyChecks(surveyed(), 'passive')), ['ok']);
  assert.match(topologyChecks(surveyed({ kind: 'missing' }), 'create')[0]?.what ?? '', /dropped by RabbitMQ/);
});

test('other arguments fail, but for those of the source queue where others make it', () => {
  const why = "queue 'orders' has other arguments than orderlane needs: x is 1. Either use a --queue of another name.";
  const different: Standing = { kind: 'different', why };
  assert.deepEqual(verdicts(topologyChecks(surveyed(different), 'create')), ['fail']);
  assert.deepEqual(verdicts(topologyChecks(surveyed(different), 'passive')), ['warn']);
  assert.deepEqual(verdicts(topologyChecks(surveyed(RIGHT, different), 'passive')), ['fail']);
  const [finding] = topologyChecks(surveyed(different), 'create');
  assert.match(finding?.what ?? '', /x is 1$/);
  assert.match(finding?.fix ?? '', /^Either use a --queue of another name/);
});

test('what is not permitted fails in one line with the command that permits it; so does a broker that takes no messages', () => {
  const resources = ["queue 'orders'", "queue 'orders.dead'"];
  const notPermitted = [
    ...resources.map((resource) => ({ action: 'declare', resource }) as const),
    { action: 'publish', resource: "exchange 'amq.default'" } as const,
  ];
  const [finding, ...none] = permissionsCheck(surveyed(RIGHT, RIGHT, { notPermitted }), 'permit it');
  assert.deepEqual([finding?.verdict, finding?.fix, none], ['fail', 'permit it', []]);
  assert.equal(
    finding?.what,
    "this user may not declare (no access to queue 'orders' and 1 more), nor publish (no access to exchange 'amq.default')",
  );
  assert.deepEqual(verdicts(permissionsCheck(surveyed(), 'permit it')), ['ok']);
  assert.deepEqual(verdicts(blockedCheck(surveyed(RIGHT, RIGHT, { blocked: 'low on disk' }))), ['fail']);
  assert.deepEqual(verdicts(blockedCheck(surveyed())), ['ok']);
  assert.deepEqual(blockedCheck(surveyed(RIGHT, RIGHT, { notPermitted })), [], 'it is not known');
  const refused: Standing = { kind: 'refused', resource: "queue 'orders'" };
  assert.deepEqual(topologyChecks(surveyed(refused), 'create'), [], 'the permissions say it');
});

test('what loses orders fails, a binding that a start makes does not, and what was not looked at is said', () => {
  const policy = "policy 'p' sets expires to 1 on queue 'orders', which deletes it. Take it out of the policy";
  const binding = "exchange 'orders.retry' is not bound to queue 'orders': retries would not come back. Bind it";
  const found = { unsafe: [policy, binding], notes: [] };
  assert.deepEqual(verdicts(managementChecks(found, 'create', 'policies')), ['fail', 'warn']);
  assert.deepEqual(verdicts(managementChecks(found, 'passive', 'policies')), ['fail', 'fail']);
  assert.deepEqual(verdicts(managementChecks(undefined, 'create', 'policies')), ['warn']);
  const notes = ['could not be checked at http://x: 401', 'node a has a disk alarm: nothing can be published'];
  assert.deepEqual(verdicts(managementChecks({ unsafe: [], notes }, 'create', 'policies')), ['warn', 'fail']);
  assert.deepEqual(verdicts(managementChecks({ unsafe: [], notes: [] }, 'create', 'policies')), ['ok']);
});

test('the command that permits names the virtual host, the user and no more than is needed', () => {
  const text = permitCommand('amqp://us%20er:secret@host/eu%2Fwest', 'or.ders');
  assert.ok(text.startsWith("rabbitmqctl set_permissions -p eu/west 'us er' '^or\\.ders(\\.|$)' "), text);
  assert.doesNotMatch(text, /secret/);
  assert.match(permitCommand('amqp://localhost', 'orders'), /set_permissions -p \/ guest /);
});
