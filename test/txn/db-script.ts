/**
 * Runs scripts of several sessions against a Db. Keys and values are words; a key is put under the
 * prefix of the tables. A command that is blocked prints `waits`; when a later command lets it go on,
 * its result is printed there as `<session>: <result>`.
 *
 *     setup k=v ...                committed before the script's sessions start
 *     begin S [fixed] [isolation=snapshot|read-committed]
 *       with=R: R is another transaction of the same client
 *     statement S | serializable S
 *     get S key [lock=key-share|share|no-key-update|update] [wait=block|error|skip] [timeout=ms] [until-commit=1] [existence=1]
 *     scan S start end [lock=...] [rows=n] [reverse=1]
 *     put S key value | insert S key value | delete S key | check S | flush S
 *     hold S key
 *     savepoint S name | rollback-to S name
 *     commit S | rollback S | cancel S | cancel-statement S
 *     prepare S                    then `end S commit|abort`: says whether this ended it; `state S`
 *     show                         all rows
 *     advance ms
 */
import {
  KvFailure,
  type Db,
  type IsolationLevel,
  type PreparedTxn,
  type ReadOptions,
  type Savepoint,
  type ScanOptions,
  type ScanPage,
  type Txn,
} from '../../src/kv/index.ts';
import { type ScriptCase, type ScriptRunner } from '../script.ts';
import { type VirtualEnv } from './virtual-env.ts';

interface Session {
  readonly txn: Txn;
  readonly savepoints: Map<string, Savepoint>;
  prepared: PreparedTxn | undefined;
  pending: Promise<void> | undefined;
}

export const scriptKey = (word: string): Buffer =>
  Buffer.concat([Buffer.from([5]), Buffer.from(word)]);
const wordOf = (key: Buffer): string => key.subarray(1).toString();

/** How long a blocked command may take in virtual time until it counts as waiting. */
const patienceMs = 1_500;

export function dbScriptRunner(db: Db, env: VirtualEnv): ScriptRunner {
  const sessions = new Map<string, Session>();
  const finished: string[] = [];

  const busy = (): boolean =>
    [...sessions.values()].some((session) => session.pending !== undefined);

  const start = (name: string, session: Session, work: () => Promise<string>): void => {
    const run = async (): Promise<void> => {
      let result: string;
      try {
        result = await work();
      } catch (error) {
        result = describeFailure(error);
      }
      session.pending = undefined;
      finished.push(`${name}: ${result}`);
    };
    session.pending = run();
  };

  const step = async (call: ScriptCase): Promise<string> => {
    const [name = '', first = '', second = ''] = call.args;
    const session = sessions.get(name);
    if (call.command === 'setup') {
      await withTime(
        env,
        db.run({}, async (txn) => {
          for (const [key, value] of call.options) txn.put(scriptKey(key), Buffer.from(value));
        }),
      );
      return '';
    }
    if (call.command === 'show') {
      const all = { start: scriptKey(''), end: Buffer.from([6]) };
      return rowsText(
        await withTime(
          env,
          db.run({}, (txn) => scanPages(txn, all)),
        ),
      );
    }
    if (call.command === 'advance') {
      await env.runFor(Number(name));
      return drain('');
    }
    if (call.command === 'begin') {
      const other = call.options.get('with') ?? '';
      const siblings = (): Txn[] => [sessions.get(other)?.txn].filter((txn) => txn !== undefined);
      const txn = db.begin({ name, isolation: isolationOf(call), siblings });
      if (first === 'fixed') txn.fixedTimestamp();
      sessions.set(name, { txn, savepoints: new Map(), prepared: undefined, pending: undefined });
      return '';
    }
    if (session === undefined) return `no session ${name}`;
    if (call.command === 'cancel') {
      session.txn.cancel();
    } else if (call.command === 'cancel-statement') {
      session.txn.cancelStatement();
    } else {
      if (session.pending !== undefined) return `${name} is waiting`;
      start(name, session, () => perform(db, session, call, first, second));
    }
    await env.settle();
    if (busy()) await env.runFor(patienceMs, () => !busy());
    return drain(session.pending === undefined ? '' : `${name}: waits`);
  };

  const drain = (waits: string): string => {
    const lines = finished.splice(0).sort();
    if (waits !== '') lines.push(waits);
    return lines.filter((line) => !line.endsWith(': ok')).join('\n');
  };

  return step;
}

async function perform(
  db: Db,
  session: Session,
  call: ScriptCase,
  first: string,
  second: string,
): Promise<string> {
  const { txn } = session;
  const options = readOptions(call);
  switch (call.command) {
    case 'get': {
      const value = await txn.get(scriptKey(first), options);
      return value === undefined ? 'nothing' : value.toString();
    }
    case 'scan':
      return rowsText(
        await scanPages(txn, {
          ...options,
          start: scriptKey(first),
          end: scriptKey(second),
          maxRows: Number(call.options.get('rows') ?? 0),
          reverse: call.options.has('reverse'),
        }),
      );
    case 'statement':
      txn.beginStatement();
      return 'ok';
    case 'serializable':
      txn.becomeSerializable();
      return 'ok';
    case 'refresh':
      await txn.refreshTo(db.clock.now());
      return 'refreshed';
    case 'put':
      txn.put(scriptKey(first), Buffer.from(second));
      return 'ok';
    case 'insert':
      txn.insert(scriptKey(first), Buffer.from(second));
      return 'ok';
    case 'delete':
      txn.delete(scriptKey(first));
      return 'ok';
    case 'check':
      await txn.checkInserts();
      return 'checked';
    case 'flush':
      await txn.flush();
      return 'ok';
    case 'savepoint':
      session.savepoints.set(first, txn.savepoint());
      return 'ok';
    case 'rollback-to':
      txn.rollbackTo(session.savepoints.get(first) ?? { sequence: 0 });
      return 'ok';
    case 'commit':
      await txn.commit();
      return 'committed';
    case 'hold':
      await txn.hold(scriptKey(first));
      return 'held';
    case 'prepare':
      await txn.prepare({
        anchor: scriptKey('k0'),
        register: async (prepared) => {
          session.prepared = prepared;
        },
      });
      return txn.status;
    case 'end':
      if (session.prepared === undefined) return 'not registered';
      return String(await db.endPrepared(session.prepared, first === 'commit' ? first : 'abort'));
    case 'state':
      return session.prepared === undefined
        ? 'not registered'
        : db.stateOfPrepared(session.prepared);
    case 'rollback':
      await txn.rollback();
      return 'rolled back';
    default:
      return `unknown command ${call.command}`;
  }
}

/** Pages may end anywhere: asks on until the limit or the end of the span. */
export async function scanPages(txn: Txn, options: ScanOptions): Promise<ScanPage> {
  const keys: Buffer[] = [];
  const values: Buffer[] = [];
  const limit = options.maxRows ?? 0;
  let resume: ScanPage['resume'] = { start: options.start, end: options.end };
  while (resume !== undefined && (limit === 0 || values.length < limit)) {
    const maxRows = limit === 0 ? 0 : limit - values.length;
    const page: ScanPage = await txn.scan({ ...options, ...resume, maxRows });
    keys.push(...page.keys);
    values.push(...page.values);
    resume = page.resume;
  }
  return { keys, values, resume };
}

function isolationOf(call: ScriptCase): IsolationLevel {
  const isolation = call.options.get('isolation');
  return isolation === 'snapshot' || isolation === 'read-committed' ? isolation : 'serializable';
}

function readOptions(call: ScriptCase): ReadOptions {
  const word = call.options.get('lock');
  const strengths = ['key-share', 'share', 'no-key-update', 'update'] as const;
  const lock = strengths.find((strength) => strength === word);
  const wait = call.options.get('wait');
  const timeout = call.options.get('timeout');
  return {
    ...(lock === undefined ? {} : { lock }),
    ...(wait === 'block' || wait === 'error' || wait === 'skip' ? { waitPolicy: wait } : {}),
    ...(call.options.has('until-commit') ? { untilCommit: true } : {}),
    ...(call.options.has('existence') ? { existence: true } : {}),
    ...(timeout === undefined ? {} : { lockTimeoutMs: Number(timeout) }),
  };
}

function rowsText(page: ScanPage): string {
  const rows = page.keys.map((key, i) => `${wordOf(key)}=${page.values[i]?.toString() ?? ''}`);
  return rows.length === 0 ? 'no rows' : rows.join(' ');
}

export function describeFailure(error: unknown): string {
  if (!(error instanceof KvFailure)) throw error;
  const failure = error.kvError;
  if (failure.kind === 'condition-failed') {
    return `condition-failed ${wordOf(failure.key)}=${failure.existing?.toString() ?? 'nothing'}`;
  }
  if (failure.kind === 'lock-not-available') {
    return `lock-not-available ${wordOf(failure.key)}${failure.timedOut ? ' timed out' : ''}`;
  }
  if (failure.kind === 'deadlock') return `deadlock of ${failure.cycle.length}`;
  return failure.kind;
}

/** Waits for `work`, moving virtual time on as long as it needs some. */
export async function withTime<T>(env: VirtualEnv, work: Promise<T>): Promise<T> {
  let done = false;
  const watched = work.finally(() => {
    done = true;
  });
  watched.catch(() => undefined);
  for (let i = 0; i < 1_000 && !done; i++) await env.runFor(100, () => done);
  return watched;
}
