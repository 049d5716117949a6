import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuQuota, type Machine, openFilesIn } from '../../../src/cli/doctor/machine.ts';
import { coresCheck, memoryCheck, openFilesCheck } from '../../../src/cli/doctor/machine-checks.ts';

const GB = 1e9;
const budget = { concurrency: 4000, shards: 2, windowBytes: 0.25 * GB, prefetch: 10_000 };
const machine: Machine = {
  openFiles: 65_536,
  memoryBytes: 4 * GB,
  isMemoryLimited: true,
  cores: 2,
  isKubernetes: false,
};

test('open files are judged by the calls in flight, and with the connections kept for the next call', () => {
  const judged = (openFiles: number | undefined): string => openFilesCheck(budget, { ...machine, openFiles }).verdict;
  assert.deepEqual([1024, 4095, 4096, 8095, 8096].map(judged), ['fail', 'fail', 'warn', 'warn', 'ok']);
  assert.equal(judged(Number.POSITIVE_INFINITY), 'ok');
  assert.equal(judged(undefined), 'warn');
  const { what, fix } = openFilesCheck(budget, { ...machine, openFiles: 1024 });
  assert.match(what, /^1024 may be open, and 4000 calls in flight need 4096$/);
  assert.match(fix ?? '', /raise it to 8096 or more.*or lower --concurrency/);
  // Each thread keeps 1,024 for the next call, or its part of the concurrency if that is more.
  assert.match(openFilesCheck({ ...budget, concurrency: 200 }, machine).what, /at most 2344 are needed/);
});

test('memory is judged by calls, threads and a full window, against what is allowed here', () => {
  const judged = (memoryBytes: number): string => memoryCheck(budget, { ...machine, memoryBytes }).verdict;
  // 90 + 2 x 290 + 4000 x 0.045 + 10000 x 0.002 = 870 MB, and 250 MB of bodies.
  assert.deepEqual(
    [0.86, 0.88, 1.24, 1.25].map((each) => judged(each * GB)),
    ['fail', 'warn', 'warn', 'ok'],
  );
  assert.match(
    memoryCheck(budget, { ...machine, memoryBytes: 0.3 * GB }).what,
    /870 MB.*more than the 300 MB allowed here/,
  );
});

test('more threads than cores are warned of, but for the two that keep a blocked one from stopping all', () => {
  const judged = (shards: number, cores: number): string =>
    coresCheck({ ...budget, shards }, { ...machine, cores }).verdict;
  assert.equal(judged(2, 1), 'ok');
  assert.equal(judged(2, 0.5), 'warn');
  assert.equal(judged(4, 4), 'ok');
  assert.equal(judged(8, 2), 'warn');
});

test('the limit of open files is the soft one of /proc/self/limits', () => {
  const text = (soft: string): string =>
    `Max processes 1 1 processes\nMax open files            ${soft}   1048576  files\n`;
  assert.equal(openFilesIn(text('1024')), 1024);
  assert.equal(openFilesIn(text('unlimited')), Number.POSITIVE_INFINITY);
  assert.equal(openFilesIn(''), undefined);
});

test('the CPU quota is the lowest of our cgroup and those above it, of either version', () => {
  const reading = (files: Readonly<Record<string, string>>) => (path: string) => files[path] ?? '';
  const nested = {
    '/proc/self/cgroup': '0::/pods/ours\n',
    '/sys/fs/cgroup/pods/ours/cpu.max': 'max 100000\n',
    '/sys/fs/cgroup/pods/cpu.max': '150000 100000\n',
  };
  assert.equal(cpuQuota(reading(nested)), 1.5);
  assert.equal(cpuQuota(reading({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '50000 100000' })), 0.5);
  const old = { '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '200000', '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000' };
  assert.equal(cpuQuota(reading(old)), 2);
  assert.equal(cpuQuota(reading({ ...old, '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1' })), Number.POSITIVE_INFINITY);
  assert.equal(cpuQuota(reading({})), Number.POSITIVE_INFINITY);
});
