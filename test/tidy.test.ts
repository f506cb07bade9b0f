/** The house rules that a machine can check: who imports whom, and who touches the machine. */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const source = join(root, 'src');

/** docs/ARCHITECTURE.md, "Who may import whom". */
const mayImport: Record<string, readonly string[]> = {
  util: [],
  encoding: ['util'],
  raft: ['util'],
  kv: ['util', 'encoding'],
  storage: ['util', 'encoding', 'kv', 'raft'],
  allocator: ['util', 'kv'],
  txn: ['util', 'encoding', 'kv'],
  range: ['util', 'encoding', 'kv', 'raft', 'storage', 'allocator'],
  rpc: ['util', 'kv', 'raft'],
  sql: ['util', 'encoding', 'kv'],
  pgwire: ['util', 'sql'],
  server: [
    'util',
    'encoding',
    'raft',
    'kv',
    'storage',
    'allocator',
    'txn',
    'range',
    'rpc',
    'sql',
    'pgwire',
  ],
  sim: [
    'util',
    'encoding',
    'raft',
    'kv',
    'storage',
    'allocator',
    'txn',
    'range',
    'rpc',
    'sql',
    'pgwire',
    'server',
  ],
  cli: [
    'util',
    'encoding',
    'raft',
    'kv',
    'storage',
    'allocator',
    'txn',
    'range',
    'rpc',
    'sql',
    'pgwire',
    'server',
    'sim',
  ],
};

/** Reads a clock, random numbers, timers, files or sockets behind Env's back. */
const machineAccess: readonly (readonly [RegExp, string])[] = [
  [/\bDate\.now\(|\bnew Date\(\s*\)/, 'the wall clock'],
  [/\bperformance\.now\(|\bprocess\.hrtime/, 'the monotonic clock'],
  [/\bMath\.random\(/, 'random numbers'],
  [/\b(setTimeout|setInterval|setImmediate|queueMicrotask)\(/, 'timers'],
  [/\bprocess\.(env|exit|argv|on|nextTick|cwd)\b/, 'the process'],
  [
    /from '(node:)?(fs|fs\/promises|net|http|https|child_process|worker_threads|dgram|tls|os)'/,
    'files, sockets or processes',
  ],
  [/\bconsole\./, 'the console'],
];

/** `src/index.ts`, the package's door, may import anything. */
const files = walk(source).filter((path) => path.endsWith('.ts') && dirname(path) !== source);

describe('tidy', () => {
  it('layers import only what stands below them, through index.ts', () => {
    const problems: string[] = [];
    for (const file of files) {
      const layer = layerOf(file);
      for (const target of importsOf(file)) {
        const other = layerOf(target);
        if (other === layer || other === undefined || layer === undefined) continue;
        const where = `${relative(root, file)} imports ${relative(root, target)}`;
        if (!(mayImport[layer] ?? []).includes(other)) problems.push(`${where}: wrong direction`);
        else if (target !== join(source, other, 'index.ts')) {
          problems.push(`${where}: not through index.ts`);
        }
      }
    }
    expect(problems).toEqual([]);
  });

  it('only cli touches the machine', () => {
    const problems: string[] = [];
    for (const file of files) {
      if (layerOf(file) === 'cli') continue;
      const text = withoutComments(readFileSync(file, 'utf8'));
      for (const [pattern, what] of machineAccess) {
        if (pattern.test(text)) problems.push(`${relative(root, file)} touches ${what}`);
      }
    }
    expect(problems).toEqual([]);
  });

  it('nothing is exported by star', () => {
    const problems = files.filter((file) => /^export \*/m.test(readFileSync(file, 'utf8')));
    expect(problems.map((file) => relative(root, file))).toEqual([]);
  });

  it('every layer has a README', () => {
    const layers = readdirSync(source).filter((name) => statSync(join(source, name)).isDirectory());
    const missing = layers.filter((name) => !readdirSync(join(source, name)).includes('README.md'));
    expect(missing).toEqual([]);
    expect(layers.filter((name) => mayImport[name] === undefined)).toEqual([]);
  });
});

function layerOf(file: string): string | undefined {
  const path = relative(source, file).split('/');
  return path.length > 1 ? path[0] : undefined;
}

function importsOf(file: string): string[] {
  const text = withoutComments(readFileSync(file, 'utf8'));
  return [...text.matchAll(/from '(\.[^']*)'|import\('(\.[^']*)'\)/g)].map((match) =>
    resolve(dirname(file), match[1] ?? match[2] ?? ''),
  );
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}

function walk(dir: string): string[] {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    return statSync(path).isDirectory() ? walk(path) : [path];
  });
}
