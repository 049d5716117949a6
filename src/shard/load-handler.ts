import { registerHooks } from 'node:module';
import { messageOf, OrderlaneError } from '../errors.ts';
import type { Handler } from '../handler.ts';

/**
 * Loads a handler module: its default export, or the module itself, has a `deliver` function. The name `orderlane` means the
 * running orderlane when the handler's own folder does not know it, so that a single file works without an install.
 */
export async function loadHandler(url: string): Promise<Handler> {
  const self = new URL(`../index.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url).href;
  registerHooks({
    resolve: (specifier, context, next) => {
      if (specifier !== 'orderlane') return next(specifier, context);
      try {
        return next(specifier, context);
      } catch {
        return { url: self, shortCircuit: true };
      }
    },
  });
  let module: Record<string, unknown>;
  try {
    module = (await import(url)) as Record<string, unknown>;
  } catch (error) {
    const message = messageOf(error);
    const hint = COMMONJS.test(message)
      ? '. Its package.json says "commonjs": say "type": "module" there, or name it .mts or .mjs'
      : '';
    throw new OrderlaneError('USAGE', `the handler ${shown(url)} does not load: ${message}${hint}`, { cause: error });
  }
  const handler = module['default'] ?? module;
  if (!isHandler(handler)) {
    const found = Object.keys(typeof handler === 'object' && handler !== null ? handler : module).join(', ');
    throw new OrderlaneError(
      'USAGE',
      `the handler ${shown(url)} must export default defineHandler({ deliver(order, ctx) { ... } }); it exports ${found === '' ? 'nothing' : found}`,
    );
  }
  return handler;
}

/** What Node says of import and export statements in a CommonJS module. */
const COMMONJS = /outside a module|Unexpected token 'export'/;

function isHandler(value: unknown): value is Handler {
  if (typeof value !== 'object' || value === null) return false;
  const { deliver, confirm } = value as Record<string, unknown>;
  return typeof deliver === 'function' && (confirm === undefined || typeof confirm === 'function');
}

function shown(url: string): string {
  return url.startsWith('file:') ? decodeURIComponent(new URL(url).pathname) : url;
}
