import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Scope } from '../helpers/worker.ts';

export type Record4or6 = 'A' | 'AAAA';
/** Addresses, a name that does not exist (NXDOMAIN), a server that fails (SERVFAIL), or silence. */
export type DnsAnswer =
  | { readonly addresses: readonly string[]; readonly ttl?: number }
  | 'nxdomain'
  | 'servfail'
  | 'silence';

export interface DnsStub {
  /** For HttpClient's and Resolver's `servers`. */
  readonly server: string;
  /** Every question, as `A name`. */
  readonly asked: string[];
}

/** A name server on loopback, gone after the test. */
export async function dnsStub(t: Scope, answer: (name: string, type: Record4or6) => DnsAnswer): Promise<DnsStub> {
  const asked: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (question, from) => {
    const { name, end } = readName(question, 12);
    const type = question.readUInt16BE(end) === 28 ? 'AAAA' : 'A';
    asked.push(`${type} ${name}`);
    const given = answer(name, type);
    if (given !== 'silence') socket.send(reply(question, end + 4, type, given), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => {
    socket.close();
  });
  return { server: `127.0.0.1:${socket.address().port}`, asked };
}

function readName(packet: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = start;
  for (let length = packet[at] ?? 0; length !== 0; length = packet[at] ?? 0) {
    labels.push(packet.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

function reply(question: Buffer, questionEnd: number, type: Record4or6, answer: Exclude<DnsAnswer, 'silence'>): Buffer {
  const records = typeof answer === 'string' ? [] : answer.addresses.map((address) => record(address, type, answer));
  const header = Buffer.alloc(12);
  question.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8180 | (answer === 'nxdomain' ? 3 : answer === 'servfail' ? 2 : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  return Buffer.concat([header, question.subarray(12, questionEnd), ...records]);
}

function record(address: string, type: Record4or6, { ttl = 60 }: { ttl?: number }): Buffer {
  const data = type === 'A' ? Buffer.from(address.split('.').map(Number)) : ipv6(address);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0); // the name in the question
  head.writeUInt16BE(type === 'A' ? 1 : 28, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function ipv6(address: string): Buffer {
  const [head = '', tail = ''] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right];
  const data = Buffer.alloc(16);
  for (const [at, group] of groups.entries()) data.writeUInt16BE(Number.parseInt(group, 16), at * 2);
  return data;
}
