import {
  CHANNELS,
  type Choice,
  COURIERS,
  FIRST_NAMES,
  INSTRUCTIONS,
  ITEM_NOTES,
  LAST_NAMES,
  MARKETS,
  type Market,
  MENU,
  ORDER_NOTES,
  PAYMENTS,
  PLACES,
  STREETS,
} from './order-parts.ts';
import { below, logNormal, type Random } from './random.ts';

const MINUTE_MS = 60_000;
const MEDIAN_ITEMS = 3;
const ITEMS_SIGMA = 0.9;
const MOST_ITEMS = 50;
const MOST_MODIFIERS = 5;
const SOURCE = { platform: 'example-delivery', version: '2026.11' } as const;

/** An order as a delivery platform hands it to a point-of-sale API. Money is in minor units (cents), times in ISO 8601. */
export interface PosOrder {
  readonly id: string;
  readonly merchant_id: string;
  readonly store: {
    readonly name: string;
    readonly phone: string;
    readonly timezone: string;
    readonly prices_include_tax: boolean;
  };
  readonly channel: string;
  /** The order's number at the channel. */
  readonly channel_order_id: string;
  /** What staff call out. */
  readonly display_id: string;
  readonly type: 'delivery' | 'pickup';
  readonly status: 'placed';
  readonly source: { readonly platform: string; readonly version: string };
  readonly placed_at: string;
  /** When it is wanted: handed over, or at the customer's door. */
  readonly requested_at: string;
  readonly asap: boolean;
  readonly preparation_minutes: number;
  readonly currency: string;
  readonly items: readonly PosItem[];
  readonly totals: PosTotals;
  readonly payment: {
    readonly method: string;
    readonly status: 'paid' | 'due';
    readonly due: number;
    readonly reference: string;
  };
  readonly customer: PosCustomer;
  readonly delivery?: PosDelivery;
  readonly pickup?: { readonly at: string; readonly place: string; readonly code: string };
  readonly cutlery: boolean;
  readonly note: string;
}

export interface PosItem {
  readonly line: number;
  readonly sku: string;
  readonly name: string;
  readonly quantity: number;
  readonly unit_price: number;
  /** Percent, included in the prices. */
  readonly tax_rate: number;
  /** Chosen for each unit. */
  readonly modifiers: readonly PosModifier[];
  readonly note?: string;
  /** quantity x (unit_price + its modifiers). */
  readonly total: number;
}

export interface PosModifier {
  readonly sku: string;
  readonly name: string;
  readonly quantity: number;
  readonly unit_price: number;
}

export interface PosTotals {
  readonly items: number;
  readonly discount: number;
  readonly delivery_fee: number;
  readonly service_fee: number;
  readonly tip: number;
  /** items - discount + delivery_fee + service_fee + tip. */
  readonly total: number;
  readonly tax_included: number;
}

export interface PosCustomer {
  readonly id: string;
  readonly name: string;
  readonly phone: string;
  readonly email: string;
  readonly orders_before: number;
  readonly marketing_consent: boolean;
}

export interface PosDelivery {
  readonly courier: {
    readonly kind: string;
    readonly name: string;
    readonly phone: string;
    readonly arrives_at: string;
  };
  readonly address: {
    readonly line1: string;
    readonly line2: string;
    readonly postal_code: string;
    readonly city: string;
    readonly country: string;
    readonly latitude: number;
    readonly longitude: number;
  };
  readonly instructions: string;
}

/** What is not drawn. */
export interface OrderFacts {
  readonly id: string;
  readonly merchantId: string;
  /** Milliseconds since the epoch. */
  readonly placedAt: number;
}

/**
 * Draws an order: 1 to 20 KB of JSON, 2 KB in the median, the long tail from large baskets. Equal draws and facts give
 * equal orders. Nobody in it exists: see order-parts.ts.
 */
export function generateOrder(random: Random, { id, merchantId, placedAt }: OrderFacts): PosOrder {
  const market = pickBy(MARKETS, merchantId);
  const type = random() < 0.7 ? 'delivery' : 'pickup';
  const asap = random() < 0.85;
  const requestedAt = placedAt + MINUTE_MS * (asap ? 20 + below(random, 30) : 60 + 15 * below(random, 20));
  const items = drawItems(random, market.taxRate);
  const totals = drawTotals(random, items, type, market.taxRate);
  const paid = random() < 0.9;
  const channel = pick(random, CHANNELS);
  const common = {
    id,
    merchant_id: merchantId,
    store: {
      name: `Kitchen ${merchantId}`,
      phone: `${market.phone}00`,
      timezone: market.timezone,
      prices_include_tax: true,
    },
    channel,
    channel_order_id: `${channel}-${digits(random, 10)}`,
    display_id: `${channel.slice(0, 1).toUpperCase()}-${1000 + below(random, 9000)}`,
    type,
    status: 'placed',
    source: SOURCE,
    placed_at: new Date(placedAt).toISOString(),
    requested_at: new Date(requestedAt).toISOString(),
    asap,
    preparation_minutes: 5 + below(random, 25),
    currency: market.currency,
    items,
    totals,
    payment: {
      method: paid ? pick(random, PAYMENTS) : 'cash',
      status: paid ? 'paid' : 'due',
      due: paid ? 0 : totals.total,
      reference: `pay_${digits(random, 12)}`,
    },
    customer: drawCustomer(random, market),
  } as const;
  const last = { cutlery: random() < 0.3, note: pick(random, ORDER_NOTES) };
  return type === 'delivery'
    ? { ...common, delivery: drawDelivery(random, market, requestedAt), ...last }
    : { ...common, pickup: { at: common.requested_at, place: pick(random, PLACES), code: digits(random, 4) }, ...last };
}

/** The name of the merchant at a Zipf rank, from 0: `m-1` is the busiest. */
export function merchantName(rank: number): string {
  return `m-${rank + 1}`;
}

function drawItems(random: Random, taxRate: number): PosItem[] {
  const count = Math.min(MOST_ITEMS, Math.max(1, Math.round(logNormal(random, MEDIAN_ITEMS, ITEMS_SIGMA))));
  const items: PosItem[] = [];
  for (let line = 1; line <= count; line++) {
    const { sku, name, price, choices } = pick(random, MENU);
    const quantity = random() < 0.75 ? 1 : 2 + below(random, 3);
    const modifiers: PosModifier[] = [];
    let unit = price;
    for (let chosen = below(random, Math.min(MOST_MODIFIERS, choices.length) + 1); chosen > 0; chosen--) {
      const choice = choices[(chosen + line) % choices.length] as Choice;
      const times = random() < 0.9 ? 1 : 2;
      modifiers.push({ sku: choice.sku, name: choice.name, quantity: times, unit_price: choice.price });
      unit += times * choice.price;
    }
    const total = quantity * unit;
    const item = { line, sku, name, quantity, unit_price: price, tax_rate: taxRate, modifiers, total };
    items.push(random() < 0.12 ? { ...item, note: pick(random, ITEM_NOTES) } : item);
  }
  return items;
}

function drawTotals(random: Random, items: readonly PosItem[], type: PosOrder['type'], taxRate: number): PosTotals {
  const sum = items.reduce((total, item) => total + item.total, 0);
  const discount = random() < 0.2 ? Math.round(sum * 0.1) : 0;
  const deliveryFee = type === 'delivery' ? 100 * below(random, 6) + 99 : 0;
  const serviceFee = Math.round(sum * 0.05);
  const tip = random() < 0.3 ? 50 * (1 + below(random, 10)) : 0;
  const taxed = sum - discount + deliveryFee + serviceFee;
  return {
    items: sum,
    discount,
    delivery_fee: deliveryFee,
    service_fee: serviceFee,
    tip,
    total: taxed + tip,
    tax_included: Math.round((taxed * taxRate) / (100 + taxRate)),
  };
}

function drawCustomer(random: Random, market: Market): PosCustomer {
  const first = pick(random, FIRST_NAMES);
  const last = pick(random, LAST_NAMES);
  const number = digits(random, 8);
  return {
    id: `cus_${number}`,
    name: `${first} ${last}`,
    phone: market.phone + digits(random, 2),
    email: `customer.${number}@example.com`,
    orders_before: below(random, 40),
    marketing_consent: random() < 0.4,
  };
}

function drawDelivery(random: Random, market: Market, requestedAt: number): PosDelivery {
  return {
    courier: {
      kind: pick(random, COURIERS),
      name: `${pick(random, FIRST_NAMES)} ${pick(random, LAST_NAMES)}`,
      phone: market.phone + digits(random, 2),
      arrives_at: new Date(requestedAt - 12 * MINUTE_MS).toISOString(),
    },
    address: {
      line1: `${1 + below(random, 240)} ${pick(random, STREETS)}`,
      line2: random() < 0.5 ? `Flat ${1 + below(random, 60)}` : '',
      postal_code: `X${digits(random, 4)}`,
      city: market.city,
      country: market.country,
      // In the Gulf of Guinea, where nobody lives.
      latitude: below(random, 10_000) / 1e6,
      longitude: below(random, 10_000) / 1e6,
    },
    instructions: pick(random, INSTRUCTIONS),
  };
}

function pick<T>(random: Random, from: readonly T[]): T {
  return from[below(random, from.length)] as T;
}

/** The same for the same name: a merchant is in one place. */
function pickBy<T>(from: readonly T[], name: string): T {
  let sum = 0;
  for (let i = 0; i < name.length; i++) sum += name.charCodeAt(i);
  return from[sum % from.length] as T;
}

function digits(random: Random, count: number): string {
  return String(below(random, 10 ** count)).padStart(count, '0');
}
