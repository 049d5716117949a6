import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { type CodecOptions, type Decoded, type Incoming, JsonCodec } from '../../../src/broker/codec/json.ts';
import { START, WALL } from '../../helpers/deliveries.ts';

const OPTIONS: CodecOptions = {
  merchantKey: '/merchant_id',
  orderIdKey: '/id',
  maxMessageBytes: 1000,
  deadlineMs: 600_000,
  instance: 'me',
  clock: { now: () => START, wall: () => WALL },
};

function codec(options: Partial<CodecOptions> = {}): JsonCodec {
  return new JsonCodec({ ...OPTIONS, ...options });
}

function message(body: unknown, properties: Incoming['properties'] = {}): Incoming {
  const content = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return { content, properties };
}

function decode(body: unknown, properties?: Incoming['properties'], options?: Partial<CodecOptions>): Decoded {
  return codec(options).decode(message(body, properties));
}

const BODY = { id: 'o-1', merchant_id: 'pizza' };

test('an order that is nothing but JSON is read by its body', () => {
  const text = JSON.stringify(BODY);
  assert.deepEqual(decode(BODY), {
    identity: `o-1:${createHash('sha256').update(`pizza\0${text}`).digest('hex').slice(0, 32)}`,
    orderId: 'o-1',
    merchantId: 'pizza',
    attempt: 1,
    hop: 0,
    ends: 0,
    crashes: 0,
    returns: 0,
    confirmFirst: false,
    possiblySent: false,
    body: text,
    fingerprint: crc32(text, crc32('pizza')),
    publishedAt: WALL,
    deadlineAt: START + 600_000,
    notBeforeAt: 0,
    ours: false,
    malformed: undefined,
  });
});

test('messages of one ID whose bodies or merchants differ by one character have different fingerprints', () => {
  const print = (body: string, merchant: string): number =>
    decode(Buffer.from(body), { headers: { merchant_id: merchant, order_id: 'o' } }).fingerprint;
  const text = fc.string({ minLength: 1, maxLength: 200 }).map((raw) => raw.toWellFormed());
  fc.assert(
    fc.property(text, fc.nat(), fc.constantFrom('a', '7', '}'), (body, place, character) => {
      const at = place % body.length;
      const other = `${body.slice(0, at)}${character}${body.slice(at + 1)}`.toWellFormed();
      fc.pre(other !== body);
      assert.notEqual(print(body, 'pizza'), print(other, 'pizza'));
      assert.notEqual(print(body, 'pizza'), print(body, 'pizzb'));
    }),
  );
});

test('identity, order ID and merchant ID come from headers, else the body, else message_id, in every combination', () => {
  const parts = (mask: number, ...values: [object, object, object, object, object, object]): object =>
    Object.assign({}, ...values.filter((_, bit) => (mask & (1 << bit)) !== 0)) as object;
  for (let mask = 0; mask < 64; mask++) {
    const has = (bit: number): boolean => (mask & (1 << bit)) !== 0;
    const headers = parts(
      mask & 0b000111,
      { orderlane_identity: 'i-h' },
      { order_id: 'o-h' },
      { merchant_id: 'm-h' },
      {},
      {},
      {},
    );
    const body = parts(mask & 0b011000, {}, {}, {}, { id: 'o-b' }, { merchant_id: 'm-b' }, {});
    const messageId = has(5) ? 'mid' : undefined;
    const came = decode(body, { headers: headers as Record<string, unknown>, messageId });
    const orderId = has(1) ? 'o-h' : has(3) ? 'o-b' : messageId;
    const merchantId = has(2) ? 'm-h' : has(4) ? 'm-b' : undefined;
    const what = `${JSON.stringify(headers)} ${JSON.stringify(body)} ${messageId}`;
    if (merchantId === undefined) assert.match(came.malformed ?? '', /^no merchant ID: .*merchant_id/, what);
    else if (orderId === undefined)
      assert.match(came.malformed ?? '', /^no order ID: .*order_id.*\/id.*message_id/, what);
    else {
      assert.equal(came.malformed, undefined, what);
      assert.deepEqual([came.orderId, came.merchantId], [orderId, merchantId], what);
      if (has(0)) assert.equal(came.identity, 'i-h', what);
      else if (messageId !== undefined) assert.equal(came.identity, 'mid', what);
      else assert.match(came.identity, new RegExp(`^${orderId}:[0-9a-f]{32}$`), what);
    }
  }
});

test('create, change and cancel of one order are three messages, and the same bytes are one', () => {
  const identity = (type: string): string => decode({ ...BODY, type }).identity;
  assert.equal(new Set([identity('create'), identity('change'), identity('cancel')]).size, 3);
  assert.equal(identity('create'), identity('create'));
});

test('the pointers to the IDs are options, and reach into arrays and odd names', () => {
  const options = { merchantKey: '/shops/1/a~1b', orderIdKey: '/__proto__/m~0n' };
  const came = decode('{"shops":[{},{"a/b":"pizza"}],"__proto__":{"m~n":"o-1"}}', {}, options);
  assert.deepEqual([came.merchantId, came.orderId, came.malformed], ['pizza', 'o-1', undefined]);
  assert.match(decode(BODY, {}, options).malformed ?? '', /\/shops\/1\/a~1b/);
  assert.match(decode({}, {}, { merchantKey: '/__proto__/constructor/name' }).malformed ?? '', /no merchant ID/);
});

test('a number is an ID, in a body as in a header; anything else is none', () => {
  for (const [value, id] of [
    [0, '0'],
    [42, '42'],
    [-7, '-7'],
    [1.5, '1.5'],
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
    ['007', '007'],
  ] as const) {
    assert.equal(decode({ ...BODY, merchant_id: value, id: value }).merchantId, id);
    assert.equal(decode({ ...BODY, id: value }).orderId, id);
    assert.equal(decode('{}', { headers: { merchant_id: value, order_id: value } }).merchantId, id);
  }
  for (const value of ['', null, true, [], {}, ['pizza'], undefined]) {
    assert.match(decode({ ...BODY, merchant_id: value }).malformed ?? '', /no merchant ID/, JSON.stringify(value));
    assert.match(decode({ ...BODY, id: value }).malformed ?? '', /no order ID/, JSON.stringify(value));
  }
});

test('a number too large for JavaScript is never taken for another ID', () => {
  // 64-bit IDs are common: the order would go to another merchant, or share another order's ID.
  for (const digits of ['9007199254740993', '1234567890123456789', '18446744073709551615']) {
    const merchant = decode(`{"id":"o-1","merchant_id":${digits}}`);
    assert.ok(merchant.malformed !== undefined || merchant.merchantId === digits, merchant.merchantId);
    const order = decode(`{"id":${digits},"merchant_id":"pizza"}`);
    assert.ok(order.malformed !== undefined || order.orderId === digits, order.orderId);
  }
});

test('an ID that is too long for a header is malformed, and not quoted', () => {
  const [fits, long] = ['x'.repeat(1000), 'x'.repeat(1001)];
  const options = { maxMessageBytes: 10_000 };
  assert.equal(decode({ id: fits, merchant_id: fits }, {}, options).malformed, undefined);
  for (const [body, headers, which] of [
    [{ id: 'o-1', merchant_id: long }, {}, 'merchant'],
    [{ id: long, merchant_id: 'pizza' }, {}, 'order'],
    [BODY, { merchant_id: long }, 'merchant'],
    [BODY, { order_id: long }, 'order'],
  ] as const) {
    assert.match(
      decode(body, { headers }, options).malformed ?? '',
      new RegExp(`^its ${which} ID has 1001 characters`),
    );
  }
});

test('a body is parsed only when headers do not tell, and kept byte for byte', () => {
  const headers = { merchant_id: 'pizza', order_id: 'o-1' };
  for (const body of ['not JSON at all', '', '{"id":', '\ufeff{}', '{"a": 1.0,\r\n "ü":"\\u00fc"}']) {
    const came = decode(body, { headers });
    assert.equal(came.malformed, undefined, 'the shard checks that it is JSON');
    assert.deepEqual(Buffer.from(came.body), Buffer.from(body));
  }
});

test('what cannot be read is malformed, with the reason', () => {
  const tooDeep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  for (const [body, why] of [
    ['not JSON', /^the body is not JSON/],
    ['{"id":"o-1",}', /^the body is not JSON \(at line 1, column 13\)$/],
    ['', /^the body is not JSON$/],
    ['\ufeff{"id":"o-1","merchant_id":"pizza"}', /^the body is not JSON/],
    ['null', /^no merchant ID/],
    ['"text"', /^no merchant ID/],
    ['[]', /^no merchant ID/],
    [Buffer.from([0x7b, 0xff, 0x7d]), /^the body is not UTF-8$/],
    [Buffer.from('{"id":"\ud800"}', 'utf16le'), /^the body is not/],
    [
      `{"id":"o-1","merchant_id":"pizza","x":"${'x'.repeat(1000)}"}`,
      /^1041 bytes, more than --max-message-bytes 1000$/,
    ],
    [tooDeep, /bytes, more than/],
  ] as const) {
    assert.match(decode(body).malformed ?? '', why);
  }
  assert.match(
    decode(tooDeep, {}, { maxMessageBytes: 2 ** 20 }).malformed ?? '',
    /^no merchant ID|^the body is not JSON/,
  );
  const nested = `{"id":"o-1","merchant_id":"pizza","deep":${tooDeep}}`;
  assert.equal(decode(nested, {}, { maxMessageBytes: 2 ** 20 }).malformed, undefined);
});

test('a message that is as large as allowed is read', () => {
  const text = JSON.stringify(BODY);
  assert.equal(decode(text, {}, { maxMessageBytes: text.length }).malformed, undefined);
  assert.match(decode(text, {}, { maxMessageBytes: text.length - 1 }).malformed ?? '', /more than/);
});

test('no bytes and no headers make it throw, and no reason quotes a body: it is customer data', () => {
  const text = fc.oneof(
    fc.string(),
    fc.json().map((json) => json.slice(1)),
    fc.json().map((json) => json.slice(0, -1)),
    fc.stringMatching(/^(position )?[0-9]{8,11}$/),
  );
  const value = fc.oneof(fc.string(), fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.object());
  const names = [
    'orderlane_identity',
    'order_id',
    'merchant_id',
    'timestamp_in_ms',
    'deadline',
    'not_before',
    'orderlane_hop',
    'orderlane_ends',
  ];
  const headers = fc.dictionary(
    fc.constantFrom(...names, 'orderlane_attempt', 'orderlane_crashes', '__proto__'),
    value,
  );
  fc.assert(
    fc.property(text, headers, fc.uint8Array({ maxLength: 60 }), (body, withHeaders, bytes) => {
      decode(Buffer.from(bytes), { headers: withHeaders, messageId: 7, timestamp: 'x' });
      const { malformed } = decode(body, { headers: withHeaders });
      const digits = /[0-9]{6,}/.exec(body)?.[0];
      if (malformed !== undefined && digits !== undefined) assert.ok(!malformed.includes(digits), malformed);
    }),
    { numRuns: 2000 },
  );
  for (const secret of ['Jane Doe', '+44 20 7946', 'position 5551234567']) {
    for (const body of [secret, `{"id":"o-1" ${secret}}`, `{"customer":"${secret}"`, `["${secret}",]`]) {
      const { malformed } = decode(body);
      assert.ok(malformed !== undefined);
      assert.doesNotMatch(malformed, /Jane|Doe|7946|555/, body);
    }
  }
});

test('publish time is the millisecond header, else the end of the AMQP second, else now; what cannot be true is ignored and counted', () => {
  const second = Math.floor(WALL / 1000);
  for (const [headers, timestamp, publishedAt, implausible] of [
    [{ timestamp_in_ms: WALL - 1234 }, second - 60, WALL - 1234, 0],
    [{ timestamp_in_ms: String(WALL - 1234) }, undefined, WALL - 1234, 0],
    [{}, second - 60, (second - 60) * 1000 + 999, 0],
    [{}, second, second * 1000 + 999, 0],
    [{}, undefined, WALL, 0],
    [{ timestamp_in_ms: 'yesterday' }, undefined, WALL, 0],
    // A publisher whose clock is ahead, by a little and by more than a clock is.
    [{ timestamp_in_ms: WALL + 299_000 }, undefined, WALL + 299_000, 0],
    [{ timestamp_in_ms: WALL + 301_000 }, undefined, WALL, 1],
    // Seconds in a header of milliseconds, milliseconds in a property of seconds, and nothing at all.
    [{ timestamp_in_ms: second }, undefined, WALL, 1],
    [{ timestamp_in_ms: 0 }, second - 60, (second - 60) * 1000 + 999, 1],
    [{}, WALL, WALL, 1],
    [{}, 0, WALL, 1],
    [{ timestamp_in_ms: -1 }, 0, WALL, 2],
  ] as const) {
    const read = codec();
    const came = read.decode(message(BODY, { headers, timestamp }));
    const what = `${JSON.stringify(headers)} ${timestamp}`;
    assert.equal(came.publishedAt, publishedAt, what);
    assert.equal(came.deadlineAt, START + (publishedAt - WALL) + 600_000, what);
    assert.equal(read.implausibleTimes, implausible, what);
  }
});

test('the deadline header goes before the default, on the clock’s own scale, and may have passed', () => {
  for (const [deadline, deadlineAt, implausible] of [
    [WALL + 5000, START + 5000, 0],
    [String(WALL + 5000), START + 5000, 0],
    [WALL - 5000, START - 5000, 0],
    [WALL + 86_400_000, START + 86_400_000, 0],
    [Math.floor(WALL / 1000), START + 600_000, 1],
    ['soon', START + 600_000, 0],
  ] as const) {
    const read = codec();
    assert.equal(read.decode(message(BODY, { headers: { deadline } })).deadlineAt, deadlineAt, String(deadline));
    assert.equal(read.implausibleTimes, implausible, String(deadline));
  }
});

test('a time not to be sent before counts on a message that we republished, and only while it lies ahead', () => {
  for (const [headers, notBeforeAt] of [
    [{ not_before: WALL + 5000, orderlane_hop: 1 }, START + 5000],
    [{ not_before: WALL, orderlane_hop: 1 }, 0],
    [{ not_before: WALL - 1, orderlane_hop: 1 }, 0],
    [{ not_before: WALL + 5000 }, 0],
    [{ orderlane_hop: 1 }, 0],
  ] as const) {
    assert.equal(decode(BODY, { headers }).notBeforeAt, notBeforeAt, JSON.stringify(headers));
  }
});

test('a republished message is what its headers say, and ours when this process put it on the ladder', () => {
  const headers = {
    orderlane_identity: 'mid',
    orderlane_hop: 2,
    orderlane_attempt: 3,
    orderlane_crashes: 1,
    orderlane_confirm_first: true,
    orderlane_by: 'me',
  };
  const { identity, hop, attempt, crashes, confirmFirst, ours } = decode(BODY, { headers, messageId: 'other' });
  assert.deepEqual([identity, hop, attempt, crashes, confirmFirst, ours], ['mid', 2, 3, 1, true, true]);
  assert.equal(decode(BODY, { headers: { ...headers, orderlane_by: 'another process' } }).ours, false);
  assert.equal(decode(BODY, { headers: { ...headers, orderlane_hop: 0 } }).ours, false);
  assert.equal(decode(BODY, { headers: { orderlane_confirm_first: 'true' } }).confirmFirst, false);
  for (const given of [true, 'true', 1]) {
    const { possiblySent } = decode(BODY, { headers: { orderlane_possibly_sent: given } });
    assert.equal(possiblySent, given === true);
  }
});

test('an ID that cannot be one is told by its kind, and a number too large by what to do', () => {
  for (const [value, received] of [
    [undefined, 'received neither'],
    ['', 'received empty text'],
    [['a'], 'received a list'],
    [2 ** 60, 'received a number too large to be read exactly: publish it as text, in quotes'],
  ] as const) {
    const { malformed } = decode({ ...BODY, merchant_id: value });
    assert.equal(
      malformed,
      `no merchant ID: expected text or a number in the header merchant_id or at /merchant_id in the body, ${received}`,
    );
  }
});
