import { readFileSync } from 'node:fs';

/** Loaded into every thread of a process before its program: its time of day is off by the milliseconds in a file. */

const file = process.env['CLOCK_OFFSET_FILE'] as string;
const now = (): number => realNow() + Number(readFileSync(file, 'utf8'));
const realNow = Date.now;

globalThis.Date = new Proxy(Date, {
  construct: (date, args, asked) => Reflect.construct(date, args.length === 0 ? [now()] : args, asked) as Date,
  get: (date, name) => (name === 'now' ? now : (Reflect.get(date, name) as unknown)),
});
