/** `npm run bench [-- name ...]`: each benchmark prints one table. Without a name: sql and idle. */
import { runAllocatorBench } from './allocator.ts';
import { runBalanceBench } from './balance.ts';
import { runConsensusBench } from './consensus.ts';
import { runContentionBench } from './contention.ts';
import { runCopyBench } from './copy.ts';
import { runFailoverBench } from './failover.ts';
import { runIdleBench } from './idle.ts';
import { runKvBench } from './kv.ts';
import { runLargeTransactionBench } from './large-transaction.ts';
import { runQuietBench } from './quiet.ts';
import { runShowRangesBench } from './show-ranges.ts';
import { runSqlBench } from './sql.ts';

const benches: Record<string, (args: readonly string[]) => Promise<void>> = {
  /** sysbench and pgbench against three PostgreSQL servers. */
  sql: runSqlBench,
  /** Placement decisions, and simulated clusters that they bring to rest. */
  allocator: runAllocatorBench,
  /** How load and data spread, and what writers notice of it. */
  balance: runBalanceBench,
  /** Transactions that want the same rows, at each isolation level. */
  contention: runContentionBench,
  /** Rows per second loaded by COPY. */
  copy: runCopyBench,
  /** Commits below SQL on three processes, layer by layer. */
  consensus: runConsensusBench,
  /** Commits and reads below SQL. */
  kv: runKvBench,
  /** Time without an acknowledged write when a leaseholder goes away. */
  failover: runFailoverBench,
  /** Processor time and memory of a cluster that does nothing. */
  idle: runIdleBench,
  /** A million rows in one transaction: time, and memory of the nodes. */
  'large-transaction': runLargeTransactionBench,
  /** Processor time and memory of many ranges that nobody uses. */
  quiet: runQuietBench,
  /** Time of SHOW RANGES over a thousand ranges. */
  'show-ranges': runShowRangesBench,
};

const names = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const options = process.argv.slice(2).filter((word) => word.startsWith('--'));
for (const name of names.length === 0 ? ['sql', 'copy', 'idle'] : names) {
  const bench = benches[name];
  if (bench === undefined) {
    console.error(`there is no benchmark "${name}"; there are: ${Object.keys(benches).join(', ')}`);
    process.exit(1);
  }
  await bench(options);
}
