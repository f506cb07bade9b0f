/** SQL sessions of simulated clients, and where the rows that they work on may be split. */
import { keyMax, userTablesStart } from '../../encoding/index.ts';
import { type Db } from '../../kv/index.ts';
import { type SimCluster } from '../cluster.ts';
import { type SeededRandom } from '../random.ts';
import { SqlSession } from '../sql-session.ts';
import { type World } from '../world.ts';

/** On the node of `db`, or on any that is up. */
export function sessionOn(
  world: World,
  cluster: SimCluster,
  options: { readonly random: SeededRandom; readonly name: string; readonly db: Db | undefined },
): SqlSession {
  const { random, name, db } = options;
  const dial = (): ReturnType<SimCluster['dialSql']> => {
    const nodes = cluster.serving().filter(({ node }) => db === undefined || node.db === db);
    return nodes.length === 0 ? undefined : cluster.dialSql(random.pick(nodes).index);
  };
  return new SqlSession({ world, random, name, dial });
}

/** Rows that are looked at for places to split, and how many of them become one. */
const sampledRows = 1_000;
const splitKeysMax = 50;

export async function rowSplitKeys(db: Db): Promise<Buffer[]> {
  const { keys } = await db.run({ name: 'split keys' }, (txn) =>
    txn.scan({ start: userTablesStart, end: keyMax, maxRows: sampledRows }),
  );
  const every = Math.ceil(keys.length / splitKeysMax);
  return [userTablesStart, ...keys.filter((_, i) => i % every === 0)];
}
