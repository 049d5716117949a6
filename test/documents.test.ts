import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
const documents = [
  'README.md',
  'ARCHITECTURE.md',
  'bench/README.md',
  ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`),
];

for (const document of documents) {
  test(`every relative link of ${document} leads somewhere, in the repository and in the package`, () => {
    const text = readFileSync(join(root, document), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)) {
      const path = relative(root, join(root, dirname(document), target));
      assert.ok(existsSync(join(root, path)), `${path} exists`);
      const isPacked = path === 'README.md' || files.some((file) => path === file || path.startsWith(`${file}/`));
      assert.ok(isPacked, `${path} is in the package`);
    }
  });
}
