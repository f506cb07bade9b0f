/** Running other programs in tests. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';

export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
}

export function run(
  command: string,
  args: readonly string[],
  options: { input?: string; timeoutMs?: number; env?: Record<string, string> } = {},
): Promise<Finished> {
  return new Promise((resolve) => {
    const child = execFile(
      command,
      [...args],
      {
        timeout: options.timeoutMs ?? 120_000,
        maxBuffer: 64 << 20,
        env: { ...process.env, ...options.env },
      },
      (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        resolve({ stdout, stderr, status });
      },
    );
    if (options.input !== undefined) child.stdin?.end(options.input);
  });
}

export function psqlArguments(port: number, database = 'defaultdb'): string[] {
  return [
    '-h',
    '127.0.0.1',
    '-p',
    String(port),
    '-U',
    'root',
    '-d',
    database,
    '-X',
    '-v',
    'ON_ERROR_STOP=1',
  ];
}

/** Unaligned rows of one statement; fails the test when psql does. */
export async function psql(port: number, sql: string, database = 'defaultdb'): Promise<string> {
  const { stdout, stderr, status } = await run('psql', [
    ...psqlArguments(port, database),
    '-A',
    '-t',
    '-q',
    '-c',
    sql,
  ]);
  if (status !== 0) throw new Error(`psql: ${stderr}`);
  return stdout.trim();
}

/** PostgreSQL's own programs that Debian keeps outside the PATH. */
export function postgresProgram(name: string): string | undefined {
  return ['15', '16', '17']
    .map((version) => `/usr/lib/postgresql/${version}/bin/${name}`)
    .concat([`/usr/bin/${name}`])
    .find((path) => existsSync(path));
}

export function isInstalled(path: string): boolean {
  return existsSync(path);
}
