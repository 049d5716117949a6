import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLoopback, isLoopbackAuthority, parseAdminAddress } from '../src/admin-address.ts';

test('an address is an IP address or localhost, and a port', () => {
  assert.deepEqual(parseAdminAddress('127.0.0.1:9464'), { host: '127.0.0.1', port: 9464 });
  assert.deepEqual(parseAdminAddress('localhost:0'), { host: 'localhost', port: 0 });
  assert.deepEqual(parseAdminAddress('[::]:65535'), { host: '::', port: 65_535 });
  for (const bad of ['', '9464', ':9464', '127.0.0.1', '127.0.0.1:', '127.0.0.1:65536', '127.0.0.1:-1', '::1:9464']) {
    assert.equal(parseAdminAddress(bad), undefined, bad);
  }
  for (const bad of ['orderlane.example:9464', '[127.0.0.1]:9464', '127.1:9464', '127.0.0.1:9464/', ' 127.0.0.1:1']) {
    assert.equal(parseAdminAddress(bad), undefined, bad);
  }
});

test('loopback is localhost, ::1 and all of 127.0.0.0/8, also written as IPv6', () => {
  for (const host of ['localhost', '127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1']) {
    assert.ok(isLoopback(host), host);
  }
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '::2', 'localhost.example', '']) {
    assert.ok(!isLoopback(host), host);
  }
});

test('a Host header names this machine with and without a port', () => {
  for (const authority of ['localhost', 'LOCALHOST:9464', '127.0.0.1:9464', '[::1]:9464', '[::1]']) {
    assert.ok(isLoopbackAuthority(authority), authority);
  }
  for (const authority of ['', 'example.com', 'localhost@example.com', 'example.com#localhost', 'localhost.', '::1']) {
    assert.ok(!isLoopbackAuthority(authority), authority);
  }
});
