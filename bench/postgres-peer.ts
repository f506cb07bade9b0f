/**
 * The peer: three PostgreSQL servers on this machine, one primary and two standbys with streaming
 * replication; a commit waits for one of them (`ANY 1`), so it is on the disks of two of three, as a
 * quorum commit is. Debian's server refuses to run as root, so it runs as the user postgres.
 */
import { chownSync, mkdirSync, mkdtempSync, rmSync, appendFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram, mustRun, run } from './process.ts';

const folders = [
  '/usr/lib/postgresql/15/bin',
  '/usr/lib/postgresql/16/bin',
  '/usr/lib/postgresql/17/bin',
];

export interface PostgresPeer {
  /** Ports of the primary and the standbys. */
  readonly ports: readonly number[];
  stop(): Promise<void>;
}

/** Undefined when PostgreSQL's server is not installed. */
export async function startPostgresPeer(firstPort: number): Promise<PostgresPeer | undefined> {
  const initdb = findProgram('initdb', folders);
  const pgCtl = findProgram('pg_ctl', folders);
  const baseBackup = findProgram('pg_basebackup', folders);
  if (initdb === undefined || pgCtl === undefined || baseBackup === undefined) return undefined;
  const root = mkdtempSync(join(tmpdir(), 'skein-peer-'));
  const { uid, gid } = await postgresUser();
  chownSync(root, uid, gid);
  const asPostgres = (command: string, args: readonly string[]): Promise<string> =>
    mustRun('setpriv', [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', command, ...args]);
  const ports = [firstPort, firstPort + 1, firstPort + 2];
  const dirs = ports.map((_, i) => join(root, `pg${i}`));
  const primary = dirs[0] ?? '';
  await asPostgres(initdb, [
    '-D',
    primary,
    '-U',
    'postgres',
    '--auth=trust',
    '-E',
    'UTF8',
    '--locale=C',
  ]);
  appendFileSync(
    join(primary, 'postgresql.conf'),
    [
      "listen_addresses = '127.0.0.1'",
      `unix_socket_directories = '${root}'`,
      'max_connections = 200',
      'shared_buffers = 256MB',
      'wal_level = replica',
      'max_wal_senders = 8',
      'hot_standby = on',
      'synchronous_commit = on',
      'max_wal_size = 4GB',
      'logging_collector = off',
      '',
    ].join('\n'),
  );
  const start = (i: number): Promise<string> =>
    asPostgres(pgCtl, [
      '-D',
      dirs[i] ?? '',
      '-o',
      `-p ${ports[i]}`,
      '-l',
      join(root, `pg${i}.log`),
      '-w',
      'start',
    ]);
  await start(0);
  for (const i of [1, 2]) {
    mkdirSync(dirs[i] ?? '', { mode: 0o700 });
    chownSync(dirs[i] ?? '', uid, gid);
    await asPostgres(baseBackup, [
      '-D',
      dirs[i] ?? '',
      '-h',
      '127.0.0.1',
      '-p',
      String(firstPort),
      '-U',
      'postgres',
      '-R',
      '-X',
      'stream',
      '-c',
      'fast',
    ]);
    appendFileSync(
      join(dirs[i] ?? '', 'postgresql.auto.conf'),
      `primary_conninfo = 'host=127.0.0.1 port=${firstPort} user=postgres application_name=s${i}'\n`,
    );
    await start(i);
  }
  const psql = (sql: string): Promise<string> =>
    mustRun('psql', ['-h', '127.0.0.1', '-p', String(firstPort), '-U', 'postgres', '-c', sql]);
  await psql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (s1, s2)'");
  await psql('SELECT pg_reload_conf()');
  await psql('CREATE DATABASE bench');
  return {
    ports,
    async stop() {
      for (const i of [2, 1, 0]) {
        await run('setpriv', [
          `--reuid=${uid}`,
          `--regid=${gid}`,
          '--clear-groups',
          pgCtl,
          '-D',
          dirs[i] ?? '',
          '-m',
          'immediate',
          'stop',
        ]);
      }
      rmSync(root, { recursive: true, force: true });
    },
  };
}

async function postgresUser(): Promise<{ uid: number; gid: number }> {
  const ids = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number((await mustRun('id', [flag, 'postgres'])).trim())),
  );
  return { uid: ids[0] ?? 0, gid: ids[1] ?? 0 };
}
