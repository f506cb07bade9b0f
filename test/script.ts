/**
 * Script tests: a file is a list of cases, each a command line with optional input, `----`, and the
 * expected output up to the next blank line. `#` starts a comment. REWRITE=1 writes what was got.
 *
 *     # why this script exists
 *     command arg key=value
 *     input
 *     ----
 *     expected output
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

export interface ScriptCase {
  readonly line: number;
  readonly command: string;
  /** Words after the command that hold no `=`. */
  readonly args: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  readonly input: string;
}

export type ScriptRunner = (step: ScriptCase) => string | Promise<string>;

/** Makes one test per `*.txt` in `directory`; `start` gives a fresh runner for each file. */
export function runScripts(
  directory: string,
  start: () => ScriptRunner | Promise<ScriptRunner>,
): void {
  const files = readdirSync(directory)
    .filter((name) => name.endsWith('.txt'))
    .sort();
  describe(directory.replace(/.*\/test\//, ''), () => {
    for (const file of files) {
      it(file, async () => {
        await runFile(join(directory, file), await start());
      });
    }
  });
}

async function runFile(path: string, run: ScriptRunner): Promise<void> {
  const lines = readFileSync(path, 'utf8').split('\n');
  const output: string[] = [];
  const problems: { line: number; got: string; want: string }[] = [];
  for (let i = 0; i < lines.length;) {
    const line = lines[i] ?? '';
    if (line.trim() === '' || line.startsWith('#')) {
      output.push(line);
      i++;
      continue;
    }
    const head = i;
    const input: string[] = [];
    for (i++; i < lines.length && lines[i] !== '----'; i++) input.push(lines[i] ?? '');
    const expected: string[] = [];
    for (i++; i < lines.length && lines[i] !== ''; i++) expected.push(lines[i] ?? '');
    const [command = '', ...words] = line.split(/\s+/);
    const got = (
      await run({
        line: head + 1,
        command,
        args: words.filter((word) => !word.includes('=')),
        options: new Map(
          words
            .filter((word) => word.includes('='))
            .map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
        ),
        input: input.join('\n'),
      })
    )
      .replace(/\n+$/, '')
      .replace(/\n(?=\n)/g, '\n.');
    output.push(line, ...input, '----', ...(got === '' ? [] : got.split('\n')));
    if (got !== expected.join('\n')) {
      problems.push({ line: head + 1, got, want: expected.join('\n') });
    }
  }
  if (process.env['REWRITE'] === '1') {
    writeFileSync(path, output.join('\n'));
    return;
  }
  const first = problems[0];
  if (first !== undefined) expect(first.got, `${path}:${first.line}`).toBe(first.want);
}
