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
    throw new OrderlaneError(
      'USAGE',
      `the handler ${shown(url)} does not load: ${message}${placeOf(error, url)}${hint}`,
      {
        cause: error,
      },
    );
  }
  const handler = module['default'] ?? module;
  if (!isHandler(handler)) {
    throw new OrderlaneError(
      'USAGE',
      `the handler ${shown(url)} must export default defineHandler({ deliver(order, ctx) { ... } }); ${whatItHas(handler)}`,
    );
  }
  return handler;
}

/** Where a syntax error is: Node tells it of TypeScript alone, in the first line of the stack. */
function placeOf(error: unknown, url: string): string {
  if (!(error instanceof SyntaxError)) return '';
  const [first = ''] = (error.stack ?? '').split('\n');
  const place = /^(\S+):(\d+)$/.exec(first);
  if (place !== null) return ` (${shown(place[1] as string)}, line ${place[2]})`;
  return COMMONJS.test(error.message) ? '' : ` (node --check ${shown(url)} shows where)`;
}

/** What Node says of import and export statements in a CommonJS module. */
const COMMONJS = /outside a module|Unexpected token 'export'/;

function whatItHas(value: unknown): string {
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) {
    return 'it exports nothing, or an empty object';
  }
  const { deliver, confirm } = value as Record<string, unknown>;
  if (deliver !== undefined && typeof deliver !== 'function') return `its deliver is a ${typeof deliver}`;
  if (confirm !== undefined && typeof confirm !== 'function') return `its confirm is a ${typeof confirm}`;
  return `in what it exports there is only ${Object.keys(value).join(', ')}`;
}

function isHandler(value: unknown): value is Handler {
  if (typeof value !== 'object' || value === null) return false;
  const { deliver, confirm } = value as Record<string, unknown>;
  return typeof deliver === 'function' && (confirm === undefined || typeof confirm === 'function');
}

function shown(url: string): string {
  return url.startsWith('file:') ? decodeURIComponent(new URL(url).pathname) : url;
}
