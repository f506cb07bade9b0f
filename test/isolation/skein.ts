/**
 * Skein for plays: SQL sessions over the real coordinator, router, executors and lock tables, in virtual time.
 *
 * What can go on does so while time stands still, or after the short pauses of pushes and retries; a deadlock ends within a
 * fraction of a second. So a step that has not ended after a second in which nothing else ended, either, waits for another session.
 */
import {
  createSqlService,
  rowProgramCompiler,
  type Session,
  type SqlService,
} from '../../src/sql/index.ts';
import { asNodeId } from '../../src/kv/index.ts';
import { runText } from '../sql/logic/text-client.ts';
import { TestCluster } from '../txn/test-cluster.ts';
import { VirtualEnv } from '../txn/virtual-env.ts';
import {
  errorLine,
  rowLines,
  tagLines,
  type BusySession,
  type TestedDatabase,
  type TestedSession,
  type TestedSystem,
} from './system.ts';

const patienceMs = 1_000;
const longestTimeoutMs = 60_000;
/** How far time goes at once, and what comes before it does. */
const stepMs = 25;
const turnsPerStep = 2;

export async function startSkein(): Promise<TestedSystem> {
  const env = new VirtualEnv();
  const { db } = new TestCluster(env, {
    rowPrograms: rowProgramCompiler,
    maxOffsetMicros: 500_000,
  });
  const service = await withTime(env, createSqlService({ env, db, nodeId: asNodeId(1) }));
  const connect = (database: string): Promise<Session> =>
    withTime(env, service.newSession({ user: 'root', database, settings: new Map() }));
  const admin = await connect('defaultdb');
  let databases = 0;

  const prepare = async (setup: string): Promise<TestedDatabase> => {
    const name = `play${++databases}`;
    await execute(env, admin, `create database ${name}`);
    const first = await connect(name);
    await execute(env, first, setup);
    await withTime(env, service.close(first));
    return {
      connect: async () => new SkeinSession(env, service, await connect(name)),
      rest: (busy, toTheEnd) => rest(env, busy, toTheEnd),
    };
  };
  return { name: 'skein', prepare, stop: () => withTime(env, service.stop()) };
}

async function execute(env: VirtualEnv, session: Session, sql: string): Promise<void> {
  const { error } = await withTime(env, runText(session, sql));
  if (error !== undefined) throw new Error(`${error.code} ${error.message}: ${sql}`);
}

async function rest(
  env: VirtualEnv,
  busy: readonly BusySession[],
  toTheEnd: boolean,
): Promise<void> {
  const open = (): number => busy.filter(({ done }) => !done).length;
  for (let before = -1; open() !== before && open() > 0;) {
    before = open();
    await passTime(env, toTheEnd ? longestTimeoutMs : patienceMs, () => open() !== before);
  }
}

/** In small steps, since time is not to run ahead of work that needs none: timers stand for what others have had time to do. */
async function passTime(env: VirtualEnv, ms: number, done: () => boolean): Promise<void> {
  for (let passed = 0; passed < ms && !done(); passed += stepMs) {
    for (let i = 0; i < turnsPerStep && !done(); i++) await env.settle();
    await env.runFor(stepMs, done);
  }
}

async function withTime<T>(env: VirtualEnv, work: Promise<T>): Promise<T> {
  let isDone = false;
  const watched = work.finally(() => {
    isDone = true;
  });
  watched.catch(() => undefined);
  await passTime(env, longestTimeoutMs, () => isDone);
  return watched;
}

class SkeinSession implements TestedSession {
  readonly #env: VirtualEnv;
  readonly #service: SqlService;
  readonly #session: Session;
  #running: Promise<unknown> = Promise.resolve();

  constructor(env: VirtualEnv, service: SqlService, session: Session) {
    this.#env = env;
    this.#service = service;
    this.#session = session;
  }

  async run(sql: string): Promise<readonly string[]> {
    const running = runText(this.#session, sql);
    this.#running = running;
    const { notices, results, error } = await running;
    const lines = [...notices];
    for (const { columns, rows, tag } of results) {
      if (columns.length > 0) lines.push(...rowLines(rows));
      lines.push(...tagLines(sql, tag));
    }
    if (error !== undefined) lines.push(errorLine(error.code, error.message));
    return lines;
  }

  async cancel(): Promise<void> {
    this.#session.cancel();
  }

  async close(): Promise<void> {
    this.#session.cancel('closed');
    await withTime(this.#env, this.#running);
    await withTime(this.#env, this.#service.close(this.#session));
  }
}
