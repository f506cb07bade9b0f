/** `skein sim --workload FILE`: the examples run, a seed stays a seed, and mistakes end in one sentence. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openWorkloadFile } from '../../src/cli/workload-file.ts';
import { type SimResult } from '../../src/sim/index.ts';
import { simulate } from '../sim/harness.ts';

const folder = mkdtempSync(join(tmpdir(), 'skein-workload-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function run(path: string, seed: number, story?: string[]): Promise<SimResult> {
  const file = await openWorkloadFile(path);
  try {
    const trace = story === undefined ? undefined : (line: string): number => story.push(line);
    return await simulate(seed, 10, { nodes: 3, workload: file.workload, trace });
  } finally {
    file.close();
  }
}

function written(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('a workload file', () => {
  for (const example of ['examples/bank.mjs', 'examples/booking.sql']) {
    it(`${example} passes, and a seed gives the same run twice`, async () => {
      const first = await run(example, 7);
      expect(first.problems).toEqual([]);
      expect(first.counts.writes).toBeGreaterThan(10);
      const second = await run(example, 7);
      expect(second.traceHash).toBe(first.traceHash);
      expect((await run(example, 8)).traceHash).not.toBe(first.traceHash);
    }, 120_000);
  }

  it('time and chance are the simulation’s, and what is kept in variables begins anew', async () => {
    const path = written(
      'clocks.mjs',
      `let calls = 0;
       const before = Date.now();
       export const clients = 1;
       export const setup = (sql) => sql.query('CREATE TABLE seen (id int PRIMARY KEY, what text)');
       export async function step(sql) {
         const startMs = performance.now();
         await new Promise((resolve) => setTimeout(resolve, 1_000));
         const what = [new Date().toISOString(), Date.now() - before, Math.random(), crypto.randomUUID()];
         // Fractions of milliseconds are not exact numbers.
         if (Math.round(performance.now() - startMs) < 1_000) throw new Error('a second is short');
         await sql.query('INSERT INTO seen VALUES ($1, $2)', [calls++, what.join(' ')]);
       }`,
    );
    const stories: string[][] = [[], []];
    for (const story of stories) await run(path, 3, story);
    const seen = stories.map((story) => story.filter((line) => line.includes('INSERT INTO seen')));
    expect(seen[0]?.length).toBeGreaterThan(5);
    expect(seen[0]?.[0]).toContain('[0,"2026-01-01T00:00');
    // Loaded before the simulation: the only reading of the real clock.
    const masked = seen.map((lines) => lines.map((line) => line.replace(/Z -\d+ /, 'Z ')));
    expect(masked[1]).toEqual(masked[0]);
  }, 60_000);

  it('what a function throws, and what returns false, is a finding', async () => {
    const path = written(
      'findings.mjs',
      `export const setup = (sql) => sql.query('CREATE TABLE t (id int PRIMARY KEY)');
       export const step = (sql, random) => sql.query('SELECT count(*) FROM t WHERE id < $1', [random.between(1, 9)]);
       export async function invariant(sql) {
         const { rows } = await sql.query('SELECT 1 AS one');
         return rows[0].one === 2;
       }`,
    );
    expect((await run(path, 1)).problems).toContain('invariant returned false');
    const wrong = written('wrong.mjs', `export const step = (sql) => sql.query('SELEC 1');`);
    expect((await run(wrong, 1)).problems[0]).toMatch(/step of client \d+: .*syntax error/);
  }, 60_000);

  it('says what is missing', async () => {
    await expect(openWorkloadFile(join(folder, 'none.mjs'))).rejects.toThrow('cannot be read');
    const noStep = written('no-step.mjs', 'export const setup = () => {};');
    await expect(openWorkloadFile(noStep)).rejects.toThrow('must export a function "step"');
  });
});

describe('an SQL workload', () => {
  const open = (text: string): Promise<unknown> => openWorkloadFile(written('script.sql', text));

  it('names the line of a mistake', async () => {
    await expect(open('SELECT 1;\n')).rejects.toThrow('line 1: statements stand behind a line');
    await expect(open('-- step\n\\set x random(9, 1)\n')).rejects.toThrow('line 2: write \\set');
    await expect(open('-- setup\nCREATE TABLE t (id int);\n')).rejects.toThrow(
      'no section "-- step"',
    );
  });

  it('draws steps by weight, fills in variables, and wants no rows from its queries', async () => {
    const path = written(
      'weights.sql',
      `-- clients 2
-- setup
CREATE TABLE t (kind text PRIMARY KEY, n int NOT NULL);
INSERT INTO t VALUES ('often', 0), ('seldom', 0);
-- step weight 9
\\set by random(3, 3)
UPDATE t SET n = n + :by::int WHERE kind = 'often';
-- step
UPDATE t SET n = n + 1 WHERE kind = 'seldom';
-- invariant
SELECT * FROM t WHERE kind = 'often' AND n % 3 <> 0;
-- check
SELECT * FROM t WHERE kind = 'seldom' AND n > (SELECT n FROM t WHERE kind = 'often');
SELECT * FROM t WHERE n = 0;
`,
    );
    const result = await run(path, 5);
    expect(result.problems).toEqual([]);
    const broken = written('broken.sql', `-- step\nSELECT 1;\n-- check\nSELECT 2 AS two;\n`);
    expect((await run(broken, 5)).problems[0]).toContain('rows that may not be: [{"two":2}]');
  }, 60_000);
});
