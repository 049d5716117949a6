import { execFileSync } from 'node:child_process';
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OUT = join(ROOT, '.tools/bench');

let isMade = false;

/**
 * Where a module of this repository is as plain JavaScript, as it is installed from npm: orderlane, and what stands beside it
 * alike. From the sources each thread would bring the compiler that strips the types, 20 MB of it. Compiled once a session.
 */
export function compiled(module: string): string {
  if (!isMade) {
    rmSync(OUT, { recursive: true, force: true });
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    execFileSync(process.execPath, [tsc, '-p', join(ROOT, 'tsconfig.bench.json')], { stdio: 'inherit' });
    copyFileSync(join(ROOT, 'package.json'), join(OUT, 'package.json')); // the version is read from it
    isMade = true;
  }
  return join(OUT, module.replace(/\.ts$/, '.js'));
}
