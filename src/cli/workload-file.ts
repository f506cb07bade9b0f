/**
 * `skein sim --workload FILE`: a JavaScript module that exports the functions of a `SqlProgram`, or a script of SQL
 * (`workload-script.ts`), as a workload of the simulation.
 */
import { readFileSync } from 'node:fs';
import { basename, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type GivenWorkload, type SqlProgram, SqlWorkload } from '../sim/index.ts';
import { loadParser } from '../sql/index.ts';
import { UsageError } from './options.ts';
import { installVirtualGlobals } from './virtual-globals.ts';
import { parseWorkloadScript } from './workload-script.ts';

/** One run's workload; `close` must be called when the run has ended. */
export interface OpenWorkload {
  readonly workload: GivenWorkload;
  close(): void;
}

export function isWorkloadFile(name: string): boolean {
  return extname(name) !== '';
}

/** To be called for every run: a module is loaded anew, so what it keeps in variables begins empty. */
export async function openWorkloadFile(path: string): Promise<OpenWorkload> {
  const program =
    extname(path) === '.sql'
      ? parseWorkloadScript(readWorkload(path), path)
      : await importProgram(path);
  await loadParser();
  let restore = (): void => undefined;
  return {
    workload: {
      name: basename(path),
      clients: program.clients,
      sql: true,
      make(context, random, cluster) {
        restore = installVirtualGlobals(context.world, random.fork());
        return new SqlWorkload(context, { program, cluster, random });
      },
    },
    close: () => restore(),
  };
}

let imports = 0;

async function importProgram(path: string): Promise<SqlProgram> {
  readWorkload(path);
  const url = pathToFileURL(resolve(path));
  url.searchParams.set('run', String(imports++));
  const exported: unknown = await import(url.href);
  if (!isProgram(exported)) {
    throw new UsageError(
      `${path} must export a function "step", and may export functions "setup", "invariant", "check" and a number "clients".`,
    );
  }
  return exported;
}

function isProgram(value: unknown): value is SqlProgram {
  if (typeof value !== 'object' || value === null) return false;
  const part = new Map<string, unknown>(Object.entries(value));
  const clients = part.get('clients');
  return (
    typeof part.get('step') === 'function' &&
    ['setup', 'invariant', 'check'].every((name) => {
      const type = typeof part.get(name);
      return type === 'function' || type === 'undefined';
    }) &&
    (clients === undefined ||
      (typeof clients === 'number' && Number.isInteger(clients) && clients > 0))
  );
}

function readWorkload(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    throw new UsageError(`the workload ${path} cannot be read.`);
  }
}
