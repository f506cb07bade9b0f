/** Two-phase commit when answers are lost and coordinators are gone. Keys `a` and `b` have ranges of their own. */
import { describe, expect, it } from 'vitest';
import {
  KvFailure,
  type BatchRequest,
  type KvError,
  type PreparedTxn,
  type Txn,
} from '../../src/kv/index.ts';
import { scriptKey as key, withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const maxOffsetMicros = 250_000;

const lost: KvError = { kind: 'ambiguous-result', reason: 'the test says so' };

function start(): TestCluster {
  return new TestCluster(new VirtualEnv(), { splits: ['a', 'b'].map(key), maxOffsetMicros });
}

/** Registered, and prepared unless that fails. */
async function prepare(
  cluster: TestCluster,
): Promise<{ readonly txn: Txn; readonly prepared: PreparedTxn; readonly outcome: string }> {
  const txn = cluster.db.begin();
  txn.put(key('a'), Buffer.from('new'));
  txn.put(key('b'), Buffer.from('new'));
  let prepared: PreparedTxn | undefined;
  const register = async (told: PreparedTxn): Promise<void> => {
    prepared = told;
  };
  const outcome = await outcomeOf(cluster, txn.prepare({ anchor: key('x'), register }));
  if (prepared === undefined) throw new Error(`not registered: ${outcome}`);
  return { txn, prepared, outcome };
}

async function outcomeOf(
  cluster: TestCluster,
  work: Promise<string | boolean | void>,
): Promise<string> {
  try {
    return `${(await withTime(cluster.env, work)) ?? 'done'}`;
  } catch (error) {
    if (error instanceof KvFailure) return error.kvError.kind;
    throw error;
  }
}

const phaseOf = ({ requests }: BatchRequest): string | undefined =>
  requests.map((request) => (request.kind === 'end-txn' ? request.twoPhase : undefined)).at(-1);

/** The commands of that phase are applied, and nobody hears of it: `times` times. */
function loseAnswers(cluster: TestCluster, phase: 'prepare' | 'finish', times: number): void {
  let isDue = false;
  let rest = times;
  cluster.intercept = (batch) => {
    isDue = phaseOf(batch) === phase;
    return undefined;
  };
  cluster.loseAnswer = () => isDue && rest-- > 0;
}

async function values(cluster: TestCluster): Promise<string> {
  cluster.intercept = undefined;
  cluster.loseAnswer = undefined;
  const read = ['a', 'b'].map((word) => cluster.db.readCurrent(key(word)));
  const found = await withTime(cluster.env, Promise.all(read));
  await withTime(cluster.env, cluster.db.settled());
  // Who reads through an intent leaves it to be swept up.
  await cluster.env.runFor(3_000);
  expect((await cluster.remains()).intents).toBe(0);
  return found.map((value) => value?.toString() ?? '-').join(' ');
}

/** Have the clocks of all nodes passed the time before which the transaction cannot have committed? */
function isPastEverywhere(cluster: TestCluster, { minTimestamp }: PreparedTxn): boolean {
  return cluster.clock.now().wall > minTimestamp.wall + maxOffsetMicros;
}

describe('a lost answer', () => {
  it('to the commit of a prepared transaction is looked after', async () => {
    const cluster = start();
    const { prepared } = await prepare(cluster);
    loseAnswers(cluster, 'finish', 1);
    expect(await outcomeOf(cluster, cluster.db.endPrepared(prepared, 'commit'))).toBe('true');
    expect(await outcomeOf(cluster, cluster.db.endPrepared(prepared, 'commit'))).toBe('false');
    expect(await values(cluster)).toBe('new new');
  });

  it('does not keep the commit of a strict session from its wait', async () => {
    const cluster = start();
    const { prepared } = await prepare(cluster);
    loseAnswers(cluster, 'finish', 1);
    const ending = cluster.db.endPrepared(prepared, 'commit', { strict: true });
    expect(await outcomeOf(cluster, ending)).toBe('true');
    expect(isPastEverywhere(cluster, prepared)).toBe(true);
  });

  it('to its rollback, of which the range itself does not know, is ambiguous: nothing is left that could tell', async () => {
    const cluster = start();
    const { prepared } = await prepare(cluster);
    loseAnswers(cluster, 'finish', 1);
    const ending = cluster.db.endPrepared(prepared, 'abort');
    expect(await outcomeOf(cluster, ending)).toBe('ambiguous-result');
    expect(await outcomeOf(cluster, cluster.db.endPrepared(prepared, 'commit'))).toBe('false');
    await cluster.env.runFor(7_000);
    expect(await values(cluster)).toBe('- -');
  });

  it('to the end of a prepared transaction that never arrived leaves it prepared, and is ambiguous', async () => {
    const cluster = start();
    const { prepared } = await prepare(cluster);
    cluster.intercept = (batch) =>
      phaseOf(batch) === 'finish'
        ? { kind: 'error', now: cluster.clock.now(), error: lost, index: undefined }
        : undefined;
    const ending = cluster.db.endPrepared(prepared, 'commit');
    expect(await outcomeOf(cluster, ending)).toBe('ambiguous-result');
    expect(await outcomeOf(cluster, cluster.db.stateOfPrepared(prepared))).toBe('prepared');
    cluster.intercept = undefined;
    expect(await outcomeOf(cluster, cluster.db.endPrepared(prepared, 'abort'))).toBe('true');
    expect(await values(cluster)).toBe('- -');
  });

  it('to the first phase is ambiguous, and the transaction is found prepared', async () => {
    const cluster = start();
    loseAnswers(cluster, 'prepare', 1);
    const { txn, prepared, outcome } = await prepare(cluster);
    expect(outcome).toBe('ambiguous-result');
    expect(txn.status).toBe('ambiguous');
    await txn.rollback();
    await cluster.env.runFor(60_000);
    expect(await outcomeOf(cluster, cluster.db.endPrepared(prepared, 'commit'))).toBe('true');
    expect(await values(cluster)).toBe('new new');
  });
});

it('is committed for a strict session when all clocks have passed it, and rolled back at once', async () => {
  const cluster = start();
  for (const end of ['commit', 'abort'] as const) {
    const { prepared } = await prepare(cluster);
    expect(isPastEverywhere(cluster, prepared)).toBe(false);
    const ending = cluster.db.endPrepared(prepared, end, { strict: true });
    expect(await outcomeOf(cluster, ending)).toBe('true');
    expect(isPastEverywhere(cluster, prepared)).toBe(end === 'commit');
  }
  expect(await values(cluster)).toBe('new new');
});

it('a transaction that was registered and never prepared is ended by the question', async () => {
  const cluster = start();
  cluster.intercept = (batch) =>
    phaseOf(batch) === 'prepare'
      ? { kind: 'error', now: cluster.clock.now(), error: lost, index: undefined }
      : undefined;
  const { prepared } = await prepare(cluster);
  const state = (): Promise<string> => outcomeOf(cluster, cluster.db.stateOfPrepared(prepared));
  expect(await state()).toBe('open');
  await cluster.env.runFor(7_000);
  expect(await state()).toBe('ended');
  expect(await outcomeOf(cluster, cluster.db.endPrepared(prepared, 'commit'))).toBe('false');
  expect(await values(cluster)).toBe('- -');
});

it('its coordinator cannot undo what is prepared', async () => {
  const cluster = start();
  const { txn, prepared } = await prepare(cluster);
  expect(txn.status).toBe('prepared');
  // What cancelling a commit sends, behind the prepared record.
  const { meta } = txn;
  const abort = cluster.router.sendBatch(
    {
      txn: meta,
      waitPolicy: 'block',
      lockTimeoutMs: 0,
      consistency: 'txn',
      canForwardReadTimestamp: false,
    },
    [
      {
        kind: 'end-txn',
        anchor: prepared.anchor,
        commit: false,
        onePhase: false,
        lockSpans: ['a', 'b'].map((word) => ({ start: key(word), end: undefined })),
        inFlightWrites: [],
        trigger: undefined,
      },
    ],
  );
  expect(await withTime(cluster.env, abort)).toMatchObject({ results: [{ status: 'prepared' }] });
  expect(await outcomeOf(cluster, cluster.db.endPrepared(prepared, 'commit'))).toBe('true');
  expect(await values(cluster)).toBe('new new');
});
