/** pgbench's TPC-B-like load. */
import { findProgram, mustRun } from './process.ts';
import { figure, spread, sum, type Target } from './targets.ts';

/** Prepared statements; a transaction that fails to serialise is tried a hundred times. */
const options = ['-n', '-M', 'prepared', '-j', '1', '--max-tries=100'];
const pgbench = findProgram('pgbench', ['/usr/lib/postgresql/15/bin']) ?? 'pgbench';

export interface TpcbFigures {
  readonly perSecond: number;
  /** Transactions that were committed. */
  readonly committed: number;
  /** Transactions that the clients gave up. */
  readonly failed: number;
  /** Transactions that a client had to begin again, failed ones included. */
  readonly retried: number;
}

/** Makes the tables and their rows: 100,000 accounts and one branch per unit of `scale`. */
export async function makeTpcbTables(target: Target, scale: number): Promise<void> {
  await mustRun(pgbench, ['-i', '-q', '-s', String(scale), ...connection(target, 0)]);
}

export async function runTpcb(
  target: Target,
  load: {
    readonly clients: number;
    readonly seconds: number;
    /** As PostgreSQL's `default_transaction_isolation`; absent: the server's own. */
    readonly isolation?: string;
  },
): Promise<TpcbFigures> {
  const { clients, seconds, isolation } = load;
  const level = isolation?.replaceAll(' ', '\\ ');
  const env = level === undefined ? {} : { PGOPTIONS: `-c default_transaction_isolation=${level}` };
  const outputs = await Promise.all(
    spread(clients, target.writePorts).map(({ port, clients: share }) =>
      mustRun(
        pgbench,
        options.concat(
          ['-c', String(share), '-T', String(seconds)],
          connection(target, target.ports.indexOf(port)),
        ),
        { env },
      ),
    ),
  );
  const total = (pattern: RegExp): number => sum(outputs.map((output) => figure(pattern, output)));
  return {
    perSecond: total(/tps = ([\d.]+)/),
    committed: total(/transactions actually processed: (\d+)/),
    failed: total(/number of failed transactions: (\d+)/),
    retried: total(/number of transactions retried: (\d+)/),
  };
}

function connection({ ports, user, database }: Target, node: number): string[] {
  return ['-h', '127.0.0.1', '-p', String(ports[node]), '-U', user, database];
}
