/** A PostgreSQL server of its own in a temporary folder, reached through a Unix socket there. */
import { execFileSync, spawn, type SpawnOptions } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const installations = '/usr/lib/postgresql';

/** Who waits for so long looks for a deadlock, once. */
export const deadlockTimeoutMs = 10;

const settings = {
  listen_addresses: '',
  fsync: 'off',
  autovacuum: 'off',
  deadlock_timeout: `${deadlockTimeoutMs}ms`,
  max_prepared_transactions: '20',
};

export interface PostgresServer {
  readonly socketFolder: string;
  stop(): Promise<void>;
}

export async function startPostgresServer(): Promise<PostgresServer> {
  const bin = binaries();
  const folder = mkdtempSync(join(tmpdir(), 'isolation-'));
  const user = unprivileged();
  const options: SpawnOptions = { cwd: folder, stdio: 'ignore', ...user };
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  const data = join(folder, 'data');
  const initdb = ['-D', data, '-U', 'postgres', '--locale=C', '-E', 'UTF8', '--no-sync'];
  execFileSync(join(bin, 'initdb'), initdb, { ...options, stdio: 'ignore' });
  const given = Object.entries({ ...settings, unix_socket_directories: folder });
  const server = spawn(
    join(bin, 'postgres'),
    ['-D', data, ...given.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    options,
  );
  const ended = new Promise<void>((resolve) => {
    server.once('exit', () => resolve());
  });
  return {
    socketFolder: folder,
    stop: async () => {
      server.kill('SIGINT');
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

function binaries(): string {
  const versions = existsSync(installations) ? readdirSync(installations) : [];
  const newest = versions.sort((a, b) => Number(b) - Number(a))[0];
  if (newest === undefined) throw new Error(`no PostgreSQL below ${installations}`);
  return join(installations, newest, 'bin');
}

/** PostgreSQL refuses to run as root. */
function unprivileged(): { readonly uid: number; readonly gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (option: string): number =>
    Number(execFileSync('id', [option, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
