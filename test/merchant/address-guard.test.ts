import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressGuard, isPublicAddress } from '../../src/merchant/address-guard.ts';

test('private, loopback, link-local, reserved and multicast addresses are not public', () => {
  for (const address of [
    '0.0.0.0',
    '10.0.0.1',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.2.1',
    '192.168.1.1',
    '198.18.0.1',
    '203.0.113.9',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:10.0.0.1',
    '::ffff:7f00:1',
    '64:ff9b::169.254.169.254',
    '64:ff9b:1::1',
    '2001:db8::1',
    '2002:7f00:1::',
    'fc00::1',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::1%eth0',
    'ff02::1',
    'not an address',
  ]) {
    assert.equal(isPublicAddress(address), false, address);
  }
});

test('other addresses are public, also behind NAT64', () => {
  for (const address of [
    '1.1.1.1',
    '172.32.0.1',
    '192.169.0.1',
    '2606:4700::1111',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
  ]) {
    assert.equal(isPublicAddress(address), true, address);
  }
});

test('a host pattern matches itself, on every port unless it names one', () => {
  const guard = new AddressGuard(['pos.internal', '127.0.0.1:8080', '::1', '[fd00::1]:8443']);
  assert.ok(guard.allows('pos.internal', 80));
  assert.ok(guard.allows('POS.Internal.', 9999));
  assert.ok(guard.allows('127.0.0.1', 8080));
  assert.ok(guard.allows('[::1]', 80));
  assert.ok(guard.allows('fd00::1', 8443));
  assert.ok(!guard.allows('127.0.0.1', 8081));
  assert.ok(!guard.allows('fd00::1', 443));
  assert.ok(!guard.allows('a.pos.internal', 80));
  assert.ok(!guard.allows('pos.internal.evil.example', 80));
});

test('a *.suffix matches every name below it, and not itself', () => {
  const guard = new AddressGuard(['*.svc.cluster.local', '*.dev:8080']);
  assert.ok(guard.allows('pos.svc.cluster.local', 80));
  assert.ok(guard.allows('a.b.svc.cluster.local', 80));
  assert.ok(guard.allows('x.dev', 8080));
  assert.ok(!guard.allows('svc.cluster.local', 80));
  assert.ok(!guard.allows('evilsvc.cluster.local', 80));
  assert.ok(!guard.allows('x.dev', 80));
});

test('without being allowed only HTTPS to names and public addresses passes', () => {
  const guard = new AddressGuard(['127.0.0.1:8080']);
  assert.equal(guard.refusal(true, 'pos.example', 443), undefined);
  assert.equal(guard.refusal(true, '1.1.1.1', 443), undefined);
  assert.equal(guard.refusal(false, '127.0.0.1', 8080), undefined);
  assert.match(guard.refusal(false, 'pos.example', 80) ?? '', /pos\.example:80 is plain HTTP: expected https/);
  assert.match(guard.refusal(true, '127.0.0.1', 8443) ?? '', /not a public address.*127\.0\.0\.1:8443 in allowHosts/);
  assert.match(guard.refusal(true, '[::1]', 443) ?? '', /\[::1\]:443 in allowHosts/);
  assert.match(guard.refusal(true, 'localhost', 443) ?? '', /localhost is not a public address/);
});

test('what a name resolves to is judged by the name’s own leave', () => {
  const guard = new AddressGuard(['pos.internal', '10.0.0.1']);
  assert.equal(guard.addressRefusal('pos.internal', 443, '10.0.0.1'), undefined);
  assert.equal(guard.addressRefusal('pos.example', 443, '1.1.1.1'), undefined);
  assert.match(guard.addressRefusal('pos.example', 443, '10.0.0.1') ?? '', /pos\.example resolves to 10\.0\.0\.1/);
});
