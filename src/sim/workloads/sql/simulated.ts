/** A workload that is checked over SQL, on a simulated cluster: each client has a session of its own. */
import { type Db, KvFailure } from '../../../kv/index.ts';
import { must } from '../../../util/index.ts';
import { type Outcome } from '../../checkers/history.ts';
import { type SimCluster } from '../../cluster.ts';
import { type SeededRandom } from '../../random.ts';
import { codeOf, type SqlQueries, type SqlSession } from '../../sql-session.ts';
import { type Operation, type Workload, type WorkloadContext } from '../../workload.ts';
import { rowSplitKeys, sessionOn } from '../sql-sessions.ts';
import { type WorkloadRun } from './run.ts';

export class CheckedSql implements Workload {
  readonly hasOwnConnections = true;
  readonly #context: WorkloadContext;
  readonly #run: WorkloadRun;
  readonly #sessionOf: (name: string, db?: Db) => SqlSession;
  readonly #sessions = new Map<number, SqlSession>();
  #splitKeys: Buffer[] = [];

  constructor(
    context: WorkloadContext,
    run: WorkloadRun,
    { cluster, random }: { readonly cluster: SimCluster; readonly random: SeededRandom },
  ) {
    this.#context = context;
    this.#run = run;
    this.#sessionOf = (name, db) =>
      sessionOn(context.world, cluster, { random: random.fork(), name, db });
    for (let i = 0; i < context.clients; i++) this.#sessions.set(i, this.#sessionOf(`c${i}`));
  }

  splitKeys(): Buffer[] {
    return this.#splitKeys;
  }

  async load(db: Db): Promise<void> {
    const session = this.#sessionOf('setup', db);
    for (const statement of this.#run.setup) await session.query(statement);
    await session.close();
    this.#splitKeys = await rowSplitKeys(db);
  }

  next(client: number, random: SeededRandom): Operation {
    const run = async (): Promise<void> => {
      const session = must(this.#sessions.get(client));
      const sql = await connect(session);
      const outcome = await this.#run.step(sql, random, client).catch((error: unknown) => {
        this.#context.violation(`step of client ${client}: ${String(error)}`);
        return 'fail' as const;
      });
      if (outcome === 'info') {
        // Nobody knows what this one is still doing.
        this.#sessions.set(client, this.#sessionOf(`c${client}`));
        void session.close();
      }
      expectOk(outcome);
    };
    return { kind: 'write', run };
  }

  async checkNode(db: Db): Promise<void> {
    const session = this.#sessionOf('check', db);
    expectOk(await this.#run.finish(await connect(session)));
    await session.close();
  }

  async conclude(): Promise<void> {
    for (const { anomaly, text } of this.#run.verdict().anomalies) {
      this.#context.violation(`${anomaly}: ${text}`);
    }
  }
}

async function connect(session: SqlSession): Promise<SqlQueries> {
  try {
    return await session.connection();
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    throw new KvFailure({ kind: 'unavailable', reason: String(error) });
  }
}

function expectOk(outcome: Outcome): void {
  if (outcome === 'fail')
    throw new KvFailure({ kind: 'unavailable', reason: 'the attempt failed' });
  if (outcome === 'info') throw new KvFailure({ kind: 'ambiguous-result', reason: 'no answer' });
}
