import { registerHooks } from 'node:module';

const ROOT = new URL('../../../', import.meta.url).href;
const SOURCE = `${ROOT}src/`;
const HERE = new URL('.', import.meta.url).href;

/** What the product imports, and what it gets in a simulated world. Paths are below src/; everything else is the real thing. */
const OUTSIDE: Readonly<Record<string, string>> = {
  amqplib: 'stand-ins/amqplib.ts',
  piscina: 'threads.ts',
  'node:worker_threads': 'threads.ts',
  'node:v8': 'stand-ins/v8.ts',
  'clock.ts': 'stand-ins/clock.ts',
  'merchant/directory.ts': 'stand-ins/directory.ts',
  'merchant/forward.ts': 'handler.ts',
  'lane/lane.ts': 'stand-ins/observed.ts',
  'dispatcher/budget.ts': 'stand-ins/observed.ts',
  'dispatcher/settlements.ts': 'stand-ins/observed.ts',
};

let worlds = 0;

/**
 * Loads the simulation with product modules of its own, in which what leads outside (sockets, threads, files, clocks) is
 * replaced where it is imported. `broken` puts a module in place of one of the product's, by its path below src/: so a test
 * can plant an error, and see it found. Such a module imports the real one, and changes what it wants.
 */
export async function loadSimulation(
  broken: Readonly<Record<string, string>> = {},
): Promise<typeof import('./world.ts')> {
  const query = `?world=${++worlds}`;
  const replaced = new Map(
    [...Object.entries(OUTSIDE).map(([path, file]) => [path, HERE + file] as const), ...Object.entries(broken)].map(
      ([path, file]) => [path.endsWith('.ts') ? SOURCE + path : path, file],
    ),
  );
  const used = new Set<string>();
  const hooks = registerHooks({
    resolve(specifier, context, nextResolve) {
      const parent = context.parentURL ?? '';
      if (!parent.endsWith(query)) return nextResolve(specifier, context);
      const resolved =
        parent.startsWith(SOURCE) && replaced.has(specifier) ? undefined : nextResolve(specifier, context);
      const name = resolved?.url ?? specifier;
      const replacement = parent.startsWith(SOURCE) ? replaced.get(name) : undefined;
      if (replacement !== undefined) used.add(name);
      const url = replacement ?? name;
      if (!url.startsWith('file:') || url.includes('/node_modules/'))
        return resolved ?? nextResolve(specifier, context);
      return { url: url + query, format: 'module-typescript', shortCircuit: true };
    },
  });
  try {
    const loaded = (await import(`${HERE}world.ts${query}`)) as typeof import('./world.ts');
    const idle = [...replaced.keys()].filter((name) => !used.has(name));
    if (idle.length > 0) throw new Error(`the product does not import ${idle.join(', ')} any more`);
    return loaded;
  } finally {
    hooks.deregister();
  }
}
