/**
 * A user's own program as a workload: each client has an SQL session of its own, which connects to any node that is
 * up and to another one when that dies.
 */
import { type Db, KvFailure } from '../../kv/index.ts';
import { must } from '../../util/index.ts';
import { type SimCluster } from '../cluster.ts';
import { type SeededRandom } from '../random.ts';
import { type SqlProgram } from '../sql-program.ts';
import { codeOf, type SqlSession } from '../sql-session.ts';
import { type Operation, type Workload, type WorkloadContext } from '../workload.ts';
import { rowSplitKeys, sessionOn } from './sql-sessions.ts';

export interface SqlWorkloadParts {
  readonly program: SqlProgram;
  readonly cluster: SimCluster;
  readonly random: SeededRandom;
}

const invariantShare = 0.2;

export class SqlWorkload implements Workload {
  readonly hasOwnConnections = true;
  readonly #context: WorkloadContext;
  readonly #parts: SqlWorkloadParts;
  readonly #sessions: readonly SqlSession[];
  #splitKeys: Buffer[] = [];
  /** A check has failed: the other nodes would only say the same. */
  #isBroken = false;

  constructor(context: WorkloadContext, parts: SqlWorkloadParts) {
    this.#context = context;
    this.#parts = parts;
    this.#sessions = Array.from({ length: context.clients }, (_, client) =>
      this.#session(`c${client}`),
    );
  }

  splitKeys(): Buffer[] {
    return this.#splitKeys;
  }

  async load(db: Db): Promise<void> {
    const { program } = this.#parts;
    const session = this.#session('setup', db);
    await this.#watch('setup', () => program.setup?.(session));
    await session.close();
    this.#splitKeys = await rowSplitKeys(db);
  }

  next(client: number, random: SeededRandom): Operation {
    const { program } = this.#parts;
    const session = must(this.#sessions[client]);
    if (program.invariant !== undefined && random.chance(invariantShare)) {
      return {
        kind: 'read',
        run: () => this.#watch('invariant', () => program.invariant?.(session)),
      };
    }
    const step = (): unknown => program.step(session, random, client);
    return { kind: 'write', run: () => this.#watch(`step of client ${client}`, step) };
  }

  async checkNode(db: Db, where: string): Promise<void> {
    const { program } = this.#parts;
    if (this.#isBroken) return;
    const session = this.#session('check', db);
    await this.#watch(where, () => program.invariant?.(session));
    await this.#watch(where, () => program.check?.(session));
    await session.close();
  }

  /** Throws KvFailure where the database could not do it; any other failure of the user's function is a finding. */
  async #watch(what: string, run: () => unknown): Promise<void> {
    try {
      if ((await run()) === false) this.#found(`${what} returned false`);
    } catch (error) {
      if (isTransient(error)) throw asKvFailure(error);
      this.#found(`${what}: ${withOrigin(error)}`);
    }
  }

  #found(what: string): void {
    this.#isBroken = true;
    this.#context.violation(what);
  }

  #session(name: string, db?: Db): SqlSession {
    const { cluster, random } = this.#parts;
    return sessionOn(this.#context.world, cluster, { random: random.fork(), name, db });
  }
}

/** Classes 08, 40, 53, 57, 58 of SQLSTATE, and broken connections: what a client has to expect under faults. */
function isTransient(error: unknown): boolean {
  return /^(08|40|53|57|58|ECONN|ETIMEDOUT)/.test(codeOf(error) ?? '');
}

/** The message, and where it came from: the file's name and line alone, so that a run is the same in any folder. */
function withOrigin(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const top = error.stack?.split('\n').find((line) => line.startsWith('    at ')) ?? '';
  const [, file, line] = /([^/\\?]+)(?:\?[^:]*)?:(\d+):\d+\)?$/.exec(top) ?? [];
  const origin = file === undefined ? '' : ` (${file}:${line})`;
  return `${error.name}: ${error.message}${origin}`;
}

/** A client that lost its connection does not know what became of its last statement either. */
function asKvFailure(error: unknown): KvFailure {
  const code = codeOf(error) ?? '';
  const reason = String(error);
  return code === '40003' || /^(08|ECONNRESET|ETIMEDOUT)/.test(code)
    ? new KvFailure({ kind: 'ambiguous-result', reason })
    : new KvFailure({ kind: 'unavailable', reason });
}
