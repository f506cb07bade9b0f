/** docs/SIMULATION.md says what is so: its examples are the files that run here. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { faultNames } from '../../src/sim/index.ts';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/SIMULATION.md'), 'utf8');

/** The blocks of code on the page by what stands behind the language. */
const blocks = new Map(
  [...page.matchAll(/^```\w+ (.+)\n([\s\S]*?)^```$/gm)].map(([, name = '', text = '']) => [
    name,
    text,
  ]),
);

/** Runs the program as the page does. */
async function simulate(
  workload: string,
  runs: string[],
): Promise<{ status: number; out: string }> {
  const sim = ['sim', '--workload', workload, '--seconds', '20', '--faults', 'crash,partition'];
  const program = [join(root, 'bin/skein.cjs'), ...sim, ...runs];
  try {
    const { stdout } = await run(process.execPath, program, { cwd: root });
    return { status: 0, out: stdout };
  } catch (error) {
    const { code, stdout } = error as { code: number; stdout: string };
    return { status: code, out: stdout };
  }
}

it('the files on the page are the files in the repository', () => {
  const files = [...blocks].filter(([name]) => name.startsWith('examples/'));
  expect(files.map(([name]) => name)).toEqual([
    'examples/payments.mjs',
    'examples/booking.sql',
    'examples/reservations.test.mjs',
  ]);
  for (const [name, text] of files) expect(text).toBe(readFileSync(join(root, name), 'utf8'));
  for (const name of faultNames) expect(page).toContain(`\`${name}\``);
});

it('the simulation finds that payments are made twice, and that the mended ones are not', async () => {
  const broken = blocks.get('examples/payments.mjs') ?? '';
  const mended = broken
    .replace(/^async function pay\([\s\S]*?^}\n/m, () => blocks.get('payments.mjs, mended') ?? '')
    .replace('number int,', 'number int PRIMARY KEY,');
  expect(mended).not.toBe(broken);
  const folder = mkdtempSync(join(tmpdir(), 'skein-page-'));
  try {
    const path = join(folder, 'payments.mjs');
    writeFileSync(path, mended);
    const found = await simulate('examples/payments.mjs', ['--seed', '1', '--runs', '8']);
    expect(found.out).toContain('AssertionError: payments that were made more than once');
    expect(found.status).toBe(1);
    const held = await simulate(path, ['--seed', '1', '--runs', '2', '--jobs', '2']);
    expect(held.status, held.out).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 120_000);

it('the tests of the application pass', async () => {
  const file = join(root, 'examples/reservations.test.mjs');
  const { stdout } = await run(process.execPath, ['--test', file], { cwd: root });
  expect(stdout).toMatch(/^# pass 7$/m);
}, 120_000);
