import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateOrder, merchantName, type PosOrder } from '../../src/sim/orders.ts';
import { type Random, seeded } from '../../src/sim/random.ts';

const PLACED_AT = Date.UTC(2026, 10, 20, 12);

function some(count: number, random: Random = seeded(1)): PosOrder[] {
  return Array.from({ length: count }, (_, i) =>
    generateOrder(random, { id: `run-${i + 1}`, merchantId: merchantName(i % 100), placedAt: PLACED_AT + i }),
  );
}

test('equal seeds give equal orders, and other seeds others', () => {
  const orders = JSON.stringify(some(500));
  assert.equal(JSON.stringify(some(500)), orders);
  assert.notEqual(JSON.stringify(some(500, seeded(2))), orders);
});

test('an order carries the facts it was given, and its times follow from them', () => {
  for (const [i, order] of some(500).entries()) {
    assert.equal(order.id, `run-${i + 1}`);
    assert.equal(order.merchant_id, merchantName(i % 100));
    assert.equal(order.placed_at, new Date(PLACED_AT + i).toISOString());
    assert.ok(Date.parse(order.requested_at) >= PLACED_AT + i + 20 * 60_000);
    assert.equal(order.type === 'delivery', order.delivery !== undefined);
    assert.equal(order.type === 'pickup', order.pickup !== undefined);
  }
});

test('sizes are 1 to 20 KB, about 2 KB in the median, with a long tail', () => {
  const sizes = some(20_000).map((order) => Buffer.byteLength(JSON.stringify(order)));
  sizes.sort((a, b) => a - b);
  const share = (part: number): number => sizes[Math.floor(part * sizes.length)] as number;
  assert.ok(share(0) >= 1000, `the smallest is ${share(0)}`);
  assert.ok((sizes.at(-1) as number) <= 20_000, `the largest is ${sizes.at(-1)}`);
  assert.ok((sizes.at(-1) as number) >= 12_000, `the largest is ${sizes.at(-1)}`);
  assert.ok(share(0.5) >= 1800 && share(0.5) <= 2200, `the median is ${share(0.5)}`);
  assert.ok(share(0.99) >= 3 * share(0.5), `p99 is ${share(0.99)}`);
  const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  assert.ok(mean > 1.1 * share(0.5), `the mean is ${mean}`);
});

test('money is in whole minor units, and adds up', () => {
  for (const { items, totals, payment, type } of some(5000)) {
    for (const item of items) {
      const unit = item.modifiers.reduce((sum, each) => sum + each.quantity * each.unit_price, item.unit_price);
      assert.equal(item.total, item.quantity * unit);
      assert.ok(item.quantity >= 1);
      assert.equal(new Set(item.modifiers.map(({ sku }) => sku)).size, item.modifiers.length, 'each choice once');
    }
    assert.equal(
      totals.items,
      items.reduce((sum, item) => sum + item.total, 0),
    );
    const { total, discount, delivery_fee, service_fee, tip } = totals;
    assert.equal(total, totals.items - discount + delivery_fee + service_fee + tip);
    assert.ok(Object.values(totals).every((amount) => Number.isSafeInteger(amount) && amount >= 0));
    assert.ok(totals.tax_included < total);
    assert.equal(payment.due, payment.status === 'paid' ? 0 : total);
    if (type === 'pickup') assert.equal(delivery_fee, 0);
  }
});

test('a merchant keeps its currency and its country', () => {
  const seen = new Map<string, string>();
  for (const { merchant_id, currency, delivery, store } of some(2000)) {
    const place = `${currency} ${store.timezone}`;
    assert.equal(seen.get(merchant_id) ?? place, place);
    seen.set(merchant_id, place);
    if (delivery !== undefined) assert.equal(delivery.address.country, { EUR: 'IE', GBP: 'GB', USD: 'US' }[currency]);
  }
  assert.equal(new Set(seen.values()).size, 3);
});

test('customers and couriers are fictional: phones kept for fiction, mail that goes nowhere', () => {
  const fiction = /^(\+353 20 913 01\d\d|\+44 1632 9600\d\d|\+1 202 555 01\d\d)$/;
  for (const { customer, delivery } of some(2000)) {
    assert.match(customer.email, /@example\.com$/);
    assert.match(customer.phone, fiction);
    if (delivery !== undefined) assert.match(delivery.courier.phone, fiction);
  }
});

test('orders hold text beyond ASCII, as orders do', () => {
  assert.ok(some(50).some((order) => Buffer.byteLength(JSON.stringify(order)) > JSON.stringify(order).length));
});
