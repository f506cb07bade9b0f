import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  characterPosition,
  loadParser,
  ParseCache,
  parseExpression,
  parseStatements,
} from '../../../src/sql/parse/index.ts';
import { SqlFailure } from '../../../src/sql/errors.ts';
import { runScripts } from '../../script.ts';

beforeAll(async () => {
  await loadParser();
});

runScripts(join(import.meta.dirname, 'testdata'), () => (step) => {
  try {
    const statements = parseStatements(step.input);
    if (step.command === 'split') return statements.map((s) => `${s.offset}: ${s.text}`).join('\n');
    return statements
      .map(({ statement }) => {
        if (statement.kind === 'cluster') return plain(statement.statement);
        const flags = `${statement.upsert ? ' upsert' : ''}${statement.asOf ? ` asOf=${plain(statement.asOf)}` : ''}`;
        const body = step.command === 'tree' ? ` ${plain(statement.node)}` : '';
        return `${Object.keys(statement.node)[0]}${flags}${body}`;
      })
      .join('\n');
  } catch (error) {
    if (!(error instanceof SqlFailure)) throw error;
    return `${error.code} ${error.message}${error.fields.position === undefined ? '' : ` at ${error.fields.position}`}`;
  }
});

function plain(value: unknown): string {
  return JSON.stringify(value, (key, part: unknown) =>
    ['location', 'inh', 'relpersistence', 'op', 'limitOption'].includes(key) ? undefined : part,
  );
}

describe('limits', () => {
  const deep = (n: number): string => `select ${'(select '.repeat(n)}1${')'.repeat(n)}`;

  it('nesting that overflows the stack is 54001, and the parser goes on', async () => {
    for (const text of [deep(20_000), `select ${'1+'.repeat(20_000)}1`, deep(10_000)]) {
      expect(() => parseStatements(text)).toThrow(expect.objectContaining({ code: '54001' }));
      expect(parseStatements('select 1')).toHaveLength(1);
      await loadParser();
    }
    for (let depth = 500; depth < 6000; depth += 500) {
      const outcome = attempt(deep(depth));
      expect(['parsed', '54001']).toContain(outcome);
      await loadParser();
      expect(attempt('select 1')).toBe('parsed');
    }
  });

  it('a statement longer than the limit is 54000', () => {
    expect(() => parseStatements('select 1', 5)).toThrow(
      expect.objectContaining({ code: '54000' }),
    );
  });

  it('a large statement parses', () => {
    const rows = Array.from({ length: 60_000 }, (_, i) => `(${i}, 'abc;def')`);
    expect(parseStatements(`insert into t values ${rows.join(',')};`)).toHaveLength(1);
    expect(parseStatements('select 1')).toHaveLength(1);
  });

  it('the cache forgets the oldest texts', () => {
    const cache = new ParseCache({ maxTextBytes: 40 });
    const first = cache.parse('select 1');
    expect(cache.parse('select 1')).toBe(first);
    for (let i = 0; i < 10; i++) cache.parse(`select ${i + 2}`);
    expect(cache.textBytes).toBeLessThanOrEqual(40);
    expect(cache.parse('select 1')).not.toBe(first);
  });
});

function attempt(text: string): string {
  try {
    parseStatements(text);
    return 'parsed';
  } catch (error) {
    if (error instanceof SqlFailure) return error.code;
    throw error;
  }
}

it('an expression parses to its tree', () => {
  expect(Object.keys(parseExpression('a + 1'))).toEqual(['A_Expr']);
});

it('byte offsets become character positions', () => {
  const text = "select 'é€😀', x";
  const location = Buffer.byteLength("select 'é€😀', ");
  expect(characterPosition(text, location)).toBe(15);
  expect(characterPosition(text, 0)).toBe(1);
});
