/** Running other programs and reading what they say. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

export interface Finished {
  readonly output: string;
  readonly status: number;
}

/** Runs to the end; never rejects for a non-zero status. Bounded in time. */
export function run(
  command: string,
  args: readonly string[],
  options: { env?: Record<string, string>; timeoutMs?: number; input?: string } = {},
): Promise<Finished> {
  return new Promise((resolve) => {
    const child = execFile(
      command,
      [...args],
      {
        env: { ...process.env, ...options.env },
        timeout: options.timeoutMs ?? 600_000,
        maxBuffer: 64 << 20,
      },
      (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        resolve({ output: stdout + stderr, status });
      },
    );
    if (options.input !== undefined) child.stdin?.end(options.input);
  });
}

/** As `run`, but a failure ends the benchmark with what the program said. */
export async function mustRun(
  command: string,
  args: readonly string[],
  options: { env?: Record<string, string>; timeoutMs?: number; input?: string } = {},
): Promise<string> {
  const { output, status } = await run(command, args, options);
  if (status !== 0) {
    throw new Error(
      `${command} ${args.slice(0, 6).join(' ')} ended with ${status}:\n${output.slice(-3000)}`,
    );
  }
  return output;
}

export function background(command: string, args: readonly string[]): ChildProcess {
  return spawn(command, [...args], { stdio: 'ignore' });
}

export function findProgram(name: string, folders: readonly string[]): string | undefined {
  return [...folders, '/usr/bin', '/usr/local/bin']
    .map((dir) => `${dir}/${name}`)
    .find((path) => existsSync(path));
}

export function machineLine(): string {
  const model = cpus()[0]?.model ?? 'unknown processor';
  return `${cpus().length} cores (${model}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** Aligned columns, the first to the left, numbers to the right. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`;
  console.log(line(head));
  console.log(
    `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`,
  );
  for (const row of rows) console.log(line(row));
}

export interface ProcessUsage {
  /** User and system. */
  readonly cpuSeconds: number;
  /** Resident, with pages of files. */
  readonly rssBytes: number;
  /** Of those the pages of files (code, and tables that are read): the system takes them back when it wants to. */
  readonly fileBytes: number;
}

/** From /proc; undefined when the process is gone. */
export async function processUsage(pid: number): Promise<ProcessUsage | undefined> {
  const { readFile } = await import('node:fs/promises');
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    const bytes = (name: string): number =>
      Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) * 1024;
    return { cpuSeconds: ticks / 100, rssBytes: bytes('VmRSS'), fileBytes: bytes('RssFile') };
  } catch {
    return undefined;
  }
}
