import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { PublishedMessage } from './checker.ts';

/** What a publisher has written to its `--journal`. */
export async function journalOf(path: string): Promise<PublishedMessage[]> {
  const messages: PublishedMessage[] = [];
  for await (const line of createInterface({ input: createReadStream(path) })) {
    messages.push(JSON.parse(line) as PublishedMessage);
  }
  return messages;
}
