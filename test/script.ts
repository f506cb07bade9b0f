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

/** A comment or an empty line, or a case. */
export type ScriptPart =
  | { readonly kind: 'text'; readonly line: string }
  | {
      readonly kind: 'case';
      readonly step: ScriptCase;
      readonly head: string;
      readonly expected: string;
    };

export function parseScript(text: string): ScriptPart[] {
  const lines = text.split('\n');
  const parts: ScriptPart[] = [];
  for (let i = 0; i < lines.length;) {
    const head = lines[i] ?? '';
    const number = ++i;
    if (head.trim() === '' || head.startsWith('#')) {
      parts.push({ kind: 'text', line: head });
      continue;
    }
    const input: string[] = [];
    for (; i < lines.length && lines[i] !== '----'; i++) input.push(lines[i] ?? '');
    const expected: string[] = [];
    for (i++; i < lines.length && lines[i] !== ''; i++) expected.push(lines[i] ?? '');
    const [command = '', ...words] = head.split(/\s+/);
    const step = {
      line: number,
      command,
      args: words.filter((word) => !word.includes('=')),
      options: new Map(
        words
          .filter((word) => word.includes('='))
          .map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
      ),
      input: input.join('\n'),
    };
    parts.push({ kind: 'case', step, head, expected: expected.join('\n') });
  }
  return parts;
}

export function printScript(parts: readonly ScriptPart[]): string {
  return parts
    .flatMap((part) => {
      if (part.kind === 'text') return [part.line];
      const { head, step, expected } = part;
      const texts = [head, step.input, '----', expected];
      return texts.filter((text, i) => text !== '' || i % 2 === 0);
    })
    .join('\n');
}

async function runFile(path: string, run: ScriptRunner): Promise<void> {
  const parts = parseScript(readFileSync(path, 'utf8'));
  const results: ScriptPart[] = [];
  const problems: { line: number; got: string; want: string }[] = [];
  for (const part of parts) {
    if (part.kind === 'text') {
      results.push(part);
      continue;
    }
    const got = (await run(part.step)).replace(/\n+$/, '').replace(/\n(?=\n)/g, '\n.');
    results.push({ ...part, expected: got });
    if (got !== part.expected) {
      problems.push({ line: part.step.line, got, want: part.expected });
    }
  }
  if (process.env['REWRITE'] === '1') {
    writeFileSync(path, printScript(results));
    return;
  }
  const first = problems[0];
  if (first !== undefined) expect(first.got, `${path}:${first.line}`).toBe(first.want);
}
