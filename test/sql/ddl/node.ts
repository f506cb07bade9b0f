/** Nodes of a small SQL cluster in one process: LocalDb, a shared transport, the catalog, and sessions without wire. */
import {
  ClusterSettings,
  HlcClock,
  KvFailure,
  LocalDb,
  TransportFailure,
  asNodeId,
  type CallHandler,
  type MessageHandler,
  type Db,
  type NodeControl,
  type NodeId,
  type Transport,
  type Txn,
} from '../../../src/kv/index.ts';
import {
  CatalogCache,
  SessionCatalog,
  bootstrapCatalog,
  systemIds,
  type VirtualSchemas,
} from '../../../src/sql/catalog/index.ts';
import { runUtility } from '../../../src/sql/ddl/index.ts';
import { EventLog, noNodeEvents } from '../../../src/sql/events/index.ts';
import { JobRegistry, jobTypes } from '../../../src/sql/jobs/index.ts';
import { SqlFailure } from '../../../src/sql/errors.ts';
import { rowProgramCompiler } from '../../../src/sql/exec/index.ts';
import { type EvalContext } from '../../../src/sql/functions/index.ts';
import { loadParser, parseStatements, type ParsedStatement } from '../../../src/sql/parse/index.ts';
import { planStatement } from '../../../src/sql/plan/index.ts';
import { storedFormat } from '../../../src/sql/row/index.ts';
import { isRestartable, toSqlFailure } from '../../../src/sql/session/kv-errors.ts';
import { type StatementContext, type StatementResult } from '../../../src/sql/session/types.ts';
import { typeOps, type Datum } from '../../../src/sql/types/index.ts';
import {
  createEvalHost,
  createVirtualSchemas,
  type SessionHost,
} from '../../../src/sql/virtual/index.ts';
import { type ScriptRunner } from '../../script.ts';
import { VirtualEnv } from '../../txn/virtual-env.ts';
import { indexEntries } from './index-entries.ts';

/** Calls and messages between the nodes of one process; a node that is `away` cannot be reached. */
export class Switchboard {
  readonly #handlers = new Map<string, CallHandler>();
  readonly #listeners = new Map<string, MessageHandler>();
  readonly away = new Set<NodeId>();

  endpoint(self: NodeId): Transport {
    return {
      call: async (to, method, payload) => {
        const handler = this.#handlers.get(`${to}/${method}`);
        if (handler === undefined || this.away.has(to) || this.away.has(self)) {
          throw new TransportFailure(`no way to node ${to}`, { sent: false });
        }
        return handler(structuredClone(payload), self);
      },
      send: (to, method, payload) => {
        if (this.away.has(to) || this.away.has(self)) return;
        this.#listeners.get(`${to}/${method}`)?.(structuredClone(payload), self);
      },
      onCall: (method, handler) => {
        this.#handlers.set(`${self}/${method}`, handler);
      },
      onMessage: (method, handler) => {
        this.#listeners.set(`${self}/${method}`, handler);
      },
    };
  }
}

export interface TestCluster {
  readonly env: VirtualEnv;
  readonly db: Db;
  readonly board: Switchboard;
  readonly virtual: VirtualSchemas;
  readonly caches: CatalogCache[];
  readonly jobs: JobRegistry[];
}

export async function startCluster(nodes = 1): Promise<TestCluster> {
  await loadParser();
  const env = new VirtualEnv(7);
  const clock = new HlcClock(env.clock, { maxOffsetMicros: 0 });
  const db = new LocalDb({
    clock,
    nodeId: asNodeId(1),
    timers: env.timers,
    rowPrograms: rowProgramCompiler,
  });
  const board = new Switchboard();
  await bootstrapCatalog(db);
  const caches: CatalogCache[] = [];
  const jobs: JobRegistry[] = [];
  for (let id = 1; id <= nodes; id++) {
    const nodeId = asNodeId(id);
    const cache = new CatalogCache({ env, db, nodeId, transport: board.endpoint(nodeId) });
    await cache.start();
    caches.push(cache);
    jobs.push(jobsOf(cache));
  }
  return { env, db, board, virtual: createVirtualSchemas(), caches, jobs };
}

/** Nodes that have nothing to hand over. */
export const control: NodeControl = {
  drain: async () => ({ leases: 0, connections: 0 }),
  drainStore: async () => 0,
  undrainStore: async () => {},
  signal: async () => 'gone',
};

/** Begins to work with `start`. */
export function jobsOf(cache: CatalogCache): JobRegistry {
  const { env, db } = cache;
  return new JobRegistry({
    env,
    db,
    cache,
    control,
    eventLog: eventLogOf(cache),
    nodeEvents: noNodeEvents,
    types: jobTypes,
    retentionMs: () => 1e9,
  });
}

export function eventLogOf(cache: CatalogCache): EventLog {
  const settings = new ClusterSettings();
  settings.update(cache.current.data.settings);
  cache.onChange(({ data }) => settings.update(data.settings));
  return new EventLog(cache.env.clock, cache.nodeId, settings);
}

const format = { ...storedFormat, dateOrder: 'MDY' as const };

/** A session as small as it can be: autocommit, BEGIN, COMMIT, ROLLBACK, SAVEPOINT a, ROLLBACK TO a. */
export class TestSession {
  readonly catalog: SessionCatalog;
  readonly host: SessionHost;
  readonly #cluster: TestCluster;
  readonly #jobs: JobRegistry;
  readonly #eventLog: EventLog;
  readonly #eval: EvalContext;
  #txn: Txn | undefined;
  #explicit = false;
  #steps: { readonly description: string; readonly run: () => Promise<void> }[] = [];
  #notices: string[] = [];
  #mark:
    | {
        readonly kv: ReturnType<Txn['savepoint']>;
        readonly catalog: ReturnType<SessionCatalog['mark']>;
        readonly steps: number;
      }
    | undefined;
  database = 'defaultdb';
  searchPath: readonly string[] = ['$user', 'public'];

  constructor(cluster: TestCluster, node = 0) {
    this.#cluster = cluster;
    const cache = cluster.caches[node];
    const jobs = cluster.jobs[node];
    if (cache === undefined || jobs === undefined) throw new Error(`no node ${node}`);
    this.#jobs = jobs;
    this.#eventLog = eventLogOf(cache);
    this.catalog = new SessionCatalog({
      cache,
      virtual: cluster.virtual,
      currentDatabase: () => this.database,
      searchPath: () => this.searchPath,
      currentUser: () => 'root',
      showTable: (text) => {
        throw new Error(`no SHOW here: ${text}`);
      },
      checkCanceled: () => {},
      changeWaitMs: () => 5000,
    });
    this.host = createEvalHost({
      catalog: this.catalog,
      context: () => this.#context(),
      lockTimeoutMs: () => 0,
    });
    const databaseName = (): string => this.database;
    const schemas = (): readonly string[] => this.catalog.searchPath;
    this.#eval = {
      ...format,
      regName: (type, value) => this.host.nameOf(type, value),
      statementMicros: 0n,
      clockMicros: () => 0n,
      random: () => 0.5,
      setSeed: () => {},
      randomBytes: (length) => cluster.env.random.bytes(length),
      currentUser: 'root',
      sessionUser: 'root',
      get currentDatabase() {
        return databaseName();
      },
      get currentSchemas() {
        return schemas();
      },
      backendPid: 1,
      setting: () => undefined,
      setSetting: (_name, value) => value ?? '',
      host: this.host,
    };
  }

  #context(): StatementContext {
    const { env, db } = this.#cluster;
    if (this.#txn === undefined) throw new Error('no transaction');
    return {
      env,
      db,
      txn: this.#txn,
      autocommit: !this.#explicit,
      catalog: this.catalog,
      eval: this.#eval,
      gossip: undefined,
      reports: undefined,
      advisor: undefined,
      control,
      jobs: this.#jobs,
      eventLog: this.#eventLog,
      params: [],
      readOnly: false,
      checkCanceled: () => {},
      notice: (severity, _code, message) => {
        this.#notices.push(`${severity}: ${message}`);
      },
      memoryLimitBytes: 1 << 26,
      ddl: {
        add: (step) => {
          this.#steps.push(step);
        },
        isEmpty: this.#steps.length === 0,
      },
    };
  }

  async #begin(): Promise<void> {
    if (this.#txn !== undefined) return;
    await this.catalog.begin();
    this.#txn = this.#cluster.db.begin({ name: 'sql' });
  }

  async #commit(): Promise<void> {
    const txn = this.#txn;
    const steps = this.#steps;
    try {
      if (txn !== undefined && txn.status === 'open') {
        await this.catalog.beforeCommit();
        await txn.commit();
      }
      for (const step of steps) await step.run();
    } finally {
      await this.#end();
    }
  }

  async #end(): Promise<void> {
    const txn = this.#txn;
    this.#txn = undefined;
    this.#explicit = false;
    this.#steps = [];
    if (txn?.status === 'open') await txn.rollback();
    await this.catalog.finish();
  }

  /** Runs statements one after the other; output as text, ending at the first error. */
  async run(text: string): Promise<string> {
    const lines: string[] = [];
    for (const parsed of parseStatements(text)) {
      this.#notices = [];
      try {
        const output = await this.#retried(parsed);
        lines.push(...this.#notices, ...output);
      } catch (error) {
        lines.push(...this.#notices, ...errorLines(error));
        if (this.#explicit) lines.push('(transaction aborted)');
        await this.#end();
        break;
      }
    }
    return lines.join('\n');
  }

  /** A statement on its own is run again when its transaction must restart. */
  async #retried(parsed: ParsedStatement): Promise<string[]> {
    for (let attempt = 1; ; attempt++) {
      const isAlone = !this.#explicit;
      try {
        return await this.#statement(parsed);
      } catch (error) {
        if (!isAlone || !isRestartable(error) || attempt === 5) throw error;
        await this.#end();
      }
    }
  }

  async #statement(parsed: ParsedStatement): Promise<string[]> {
    const { statement } = parsed;
    const node = statement.kind === 'postgres' ? statement.node : undefined;
    if (node !== undefined && 'TransactionStmt' in node)
      return this.#control(node.TransactionStmt.kind ?? '');
    await this.#begin();
    const lines: string[] = [];
    let result: StatementResult;
    if (statement.kind === 'cluster') {
      result = await runUtility(
        { kind: 'cluster', statement: statement.statement, text: parsed.text },
        this.#context(),
      );
    } else if (isQuery(statement.node)) {
      const plan = await planStatement({
        statement: statement.node,
        parameterTypes: [],
        catalog: this.catalog,
        eval: this.#eval,
      });
      result = await plan.execute({ ...this.#context(), autocommit: false });
    } else {
      result = await runUtility(
        { kind: 'postgres', node: statement.node, text: parsed.text },
        this.#context(),
      );
    }
    const rows: string[] = [];
    while (true) {
      const batch = await result.next();
      if (batch === undefined) break;
      for (const row of batch) {
        rows.push(
          row
            .map((value, at) => cell(value, result.columns[at]?.typeOid ?? 25, this.#eval))
            .join(' | '),
        );
      }
    }
    if (result.columns.length > 0)
      lines.push(result.columns.map(({ name }) => name).join(' | '), ...rows);
    else lines.push(result.tag());
    if (this.#explicit) await this.#context().txn.checkInserts();
    else await this.#commit();
    return lines;
  }

  async #control(kind: string): Promise<string[]> {
    switch (kind) {
      case 'TRANS_STMT_BEGIN':
        await this.#begin();
        this.#explicit = true;
        return ['BEGIN'];
      case 'TRANS_STMT_COMMIT':
        await this.#commit();
        return ['COMMIT'];
      case 'TRANS_STMT_SAVEPOINT':
        this.#mark = {
          kv: this.#context().txn.savepoint(),
          catalog: this.catalog.mark(),
          steps: this.#steps.length,
        };
        return ['SAVEPOINT'];
      case 'TRANS_STMT_ROLLBACK_TO':
        if (this.#mark === undefined) throw new Error('no savepoint');
        this.#context().txn.rollbackTo(this.#mark.kv);
        this.catalog.rollbackTo(this.#mark.catalog);
        this.#steps = this.#steps.slice(0, this.#mark.steps);
        return ['ROLLBACK'];
      default:
        await this.#end();
        return ['ROLLBACK'];
    }
  }
}

function isQuery(node: object): boolean {
  return ['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'ExplainStmt'].some(
    (kind) => kind in node,
  );
}

function cell(value: Datum, typeOid: number, settings: EvalContext): string {
  return value === null ? 'NULL' : typeOps(typeOid).format(value, settings);
}

function errorLines(error: unknown): string[] {
  if (!(error instanceof SqlFailure) && !(error instanceof KvFailure)) throw error;
  const { code, message, fields } = toSqlFailure(error);
  const lines = [`ERROR ${code}: ${message}`];
  if (fields.detail !== undefined) lines.push(`DETAIL: ${fields.detail}`);
  if (fields.hint !== undefined) lines.push(`HINT: ${fields.hint}`);
  return lines;
}

async function entriesOf({ db, caches }: TestCluster, name: string): Promise<string> {
  const { tables = [] } = caches[0]?.current.contents(systemIds.defaultDatabase) ?? {};
  const table = tables.find((candidate) => candidate.name === name);
  if (table === undefined) throw new Error(`no table ${name}`);
  const lines = (await indexEntries(db, table)).map(
    (index) =>
      `${index.name} ${index.count} missing=${index.missing.length} surplus=${index.surplus.length}`,
  );
  return lines.join('\n');
}

/** Holds up a transaction before it begins: one that `Db.run` is asked for by name. */
class Gate {
  #awaited: { readonly name: string; skip: number } | undefined;
  #open: (() => void) | undefined;

  constructor(db: Db) {
    const run = db.run.bind(db);
    db.run = async (options, body) => {
      const awaited = this.#awaited;
      if (awaited !== undefined && awaited.name === options.name && awaited.skip-- === 0) {
        this.#awaited = undefined;
        await new Promise<void>((resolve) => {
          this.#open = resolve;
        });
      }
      return run(options, body);
    };
  }

  get isClosed(): boolean {
    return this.#open !== undefined;
  }

  close(name: string, skip: number): void {
    if (this.isClosed) throw new Error('something is held up already');
    this.#awaited = { name, skip };
  }

  open(): void {
    this.#open?.();
    this.#open = undefined;
  }
}

/**
 * Scripts: `sql` runs in session a; `sql session=b node=2` in another one, made when first named. `wait ms`; `away n` and
 * `back n` cut a node off and bring it back; `elapsed` since the last `sql` began, in virtual time; `jobs start node=2`
 * lets a node work on jobs. `pause NAME` holds up the next transaction of that name that a step of a schema change begins
 * (`skip=1`: the one behind it), and its statement with it; `resume` lets that go on and shows what became of it.
 * `entries TABLE` compares its indexes with its rows.
 */
export async function scriptSessions(nodes = 1): Promise<ScriptRunner> {
  const cluster = await startCluster(nodes);
  const sessions = new Map<string, TestSession>();
  const gate = new Gate(cluster.db);
  let since = 0;
  let paused: (() => Promise<string>) | undefined;
  return async ({ command, options, args, input }) => {
    switch (command) {
      case 'wait':
        await cluster.env.runFor(Number(args[0]));
        return '';
      case 'away':
        cluster.board.away.add(asNodeId(Number(args[0])));
        return '';
      case 'back':
        cluster.board.away.delete(asNodeId(Number(args[0])));
        return '';
      case 'elapsed':
        return `${cluster.env.clock.monotonicMs() - since} ms`;
      case 'jobs': {
        const jobs = cluster.jobs[Number(options.get('node') ?? '1') - 1];
        if (args[0] === 'start') jobs?.start();
        else await jobs?.stop();
        await cluster.env.runFor(100);
        return '';
      }
      case 'entries':
        return entriesOf(cluster, args[0] ?? '');
      case 'pause':
        gate.close(args.join(' '), Number(options.get('skip') ?? '0'));
        return '';
      case 'resume':
        gate.open();
        return (await paused?.()) ?? 'nothing is held up';
      default:
    }
    since = cluster.env.clock.monotonicMs();
    const name = options.get('session') ?? 'a';
    let session = sessions.get(name);
    if (session === undefined) {
      session = new TestSession(cluster, Number(options.get('node') ?? '1') - 1);
      sessions.set(name, session);
    }
    const database = options.get('database');
    if (database !== undefined) session.database = database;
    const path = options.get('path');
    if (path !== undefined) session.searchPath = path.split(',');
    let output: string | undefined;
    let failure: unknown;
    const running = session.run(input).then(
      (text) => {
        output = text;
      },
      (error: unknown) => {
        failure = error;
        output = '';
      },
    );
    const finish = async (): Promise<string> => {
      // Waits inside (barriers, drains) need time to go on.
      await cluster.env.runFor(60_000, () => output !== undefined || isHeldUp());
      if (isHeldUp()) return '(held up)';
      await running;
      if (failure !== undefined) throw failure;
      return output ?? '';
    };
    // One that is held up already is another statement.
    const isHeldUp = gate.isClosed ? () => false : () => gate.isClosed;
    const shown = await finish();
    if (isHeldUp()) paused = finish;
    return shown;
  };
}
