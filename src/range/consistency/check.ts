/**
 * Checks of ranges, at their leaseholder (trap T14): a raft command makes every replica hash what it holds at exactly that
 * index; the hashes are compared, and the recorded sizes with counted ones. A replica that differs from more than half of
 * all replicas ends its store; when nobody knows who is right everybody goes on, and the log says so.
 */
import { type RangeCheck, type RangeId, type ReplicaDescriptor } from '../../kv/index.ts';
import { areSameStats, zeroStats } from '../../storage/index.ts';
import { must } from '../../util/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';
import { judge, type Collected, type Verdict } from './verdict.ts';

export type CheckMode = 'data' | 'stats';

interface Check {
  /** HLC wall microseconds. */
  readonly begunAt: number;
  readonly mode: CheckMode;
  readonly result: Promise<RangeCheck>;
}

/** For those who ask again. */
const keptMs = 60_000;
/** Check ids travel as integers that numbers hold exactly. */
const idsEnd = 2 ** 20;

export class ConsistencyChecks {
  readonly #store: Store;
  /** The latest of each range, under way or not. */
  readonly #latest = new Map<RangeId, Check>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** The result of the check of this range that began last, if that is not before `since` (HLC wall microseconds); else of a new one. */
  check(replica: Replica, mode: CheckMode, since: number): Promise<RangeCheck> {
    const known = this.#latest.get(replica.rangeId);
    if (known !== undefined && known.begunAt >= since && known.mode === mode) return known.result;
    const begunAt = this.#store.clock.now().wall;
    const result = this.#check(replica, mode, begunAt);
    const check = { begunAt, mode, result };
    this.#latest.set(replica.rangeId, check);
    this.#forgetLater(replica.rangeId, check);
    return result;
  }

  #forgetLater(rangeId: RangeId, check: Check): void {
    const forget = (): void => {
      if (this.#latest.get(rangeId) === check) this.#latest.delete(rangeId);
    };
    const later = (): void => void this.#store.env.timers.after(keptMs, forget);
    check.result.then(later, forget);
  }

  async #check(replica: Replica, mode: CheckMode, begunAt: number): Promise<RangeCheck> {
    const store = this.#store;
    const { rangeId } = replica;
    const checkId = store.env.random.u32() * idsEnd + (store.env.random.u32() % idsEnd);
    const outcome = await replica.propose(
      {
        writes: [],
        statsDelta: zeroStats,
        trigger: { kind: 'compute-checksum', checkId, mode },
        clears: [],
        timestamp: store.clock.now(),
      },
      replica.leaseSequence,
    );
    const { descriptor } = replica;
    const finish = (status: RangeCheck['status'], detail: string): RangeCheck => ({
      range: descriptor,
      status,
      detail,
      durationMicros: Math.max(0, store.clock.now().wall - begunAt),
    });
    if (outcome.kind !== 'applied') {
      const why = outcome.kind === 'rejected' ? outcome.error.kind : outcome.reason;
      return finish('indeterminate', `the check was not begun: ${why}`);
    }
    const { sizeBytes } = replica.stats;
    const collected = await Promise.all(
      descriptor.replicas.map(async (member) => ({
        replica: member,
        answer: await store.checksums.ask(member, rangeId, checkId, sizeBytes),
      })),
    );
    store.counters.consistencyChecks++;
    const verdict = judge(collected);
    const detail = describe(collected);
    switch (verdict.kind) {
      case 'alone':
        return finish('indeterminate', `nobody else answered: ${detail}`);
      case 'equal':
        return this.#compareStats(replica, collected, finish);
      default:
        await this.#report(replica, { checkId, mode, verdict, detail });
        return finish('inconsistent', detail);
    }
  }

  #compareStats(
    replica: Replica,
    collected: readonly Collected[],
    finish: (status: RangeCheck['status'], detail: string) => RangeCheck,
  ): RangeCheck {
    const { storeId, env } = this.#store;
    const own = collected.find((each) => each.replica.storeId === storeId)?.answer;
    const missing = collected.filter(({ answer }) => answer === undefined);
    const detail = missing.length === 0 ? '' : `not heard of: ${namesOf(missing)}`;
    if (own?.found === undefined || areSameStats(own.recorded, own.found)) {
      return finish('consistent', detail);
    }
    const { recorded, found } = own;
    env.log.warn({ range: replica.rangeId, recorded, found }, 'a range has recorded wrong sizes');
    const figures = `recorded ${JSON.stringify(recorded)}, counted ${JSON.stringify(found)}`;
    return finish('stats-incorrect', [figures, detail].filter((each) => each !== '').join('; '));
  }

  /** Says it loudly, and to those that are wrong: the others first, should it be this store. */
  async #report(
    replica: Replica,
    check: {
      readonly checkId: number;
      readonly mode: CheckMode;
      readonly verdict: Extract<Verdict, { kind: 'minority' | 'undecided' }>;
      readonly detail: string;
    },
  ): Promise<void> {
    const store = this.#store;
    const { rangeId } = replica;
    const { checkId, mode, verdict, detail } = check;
    store.counters.inconsistenciesFound++;
    if (mode === 'stats') {
      store.env.log.error(
        { range: rangeId, detail },
        'the replicas of a range recorded different sizes',
      );
      return;
    }
    if (verdict.kind === 'undecided') {
      store.env.log.error(
        { range: rangeId, detail },
        'THE REPLICAS OF A RANGE DIFFER, and no majority of them agrees: nobody is stopped',
      );
      return;
    }
    store.env.log.error(
      { range: rangeId, detail, wrong: verdict.minority.map((each) => each.storeId) },
      'THE REPLICAS OF A RANGE DIFFER: the stores of the minority are stopped',
    );
    const last = (member: ReplicaDescriptor): number => (member.storeId === store.storeId ? 1 : 0);
    for (const member of [...verdict.minority].sort((a, b) => last(a) - last(b))) {
      await store.checksums.accuse(member, rangeId, checkId, verdict.checksum);
    }
  }
}

function namesOf(collected: readonly Collected[]): string {
  return collected
    .map(({ replica }) => `(n${replica.nodeId},s${replica.storeId}):${replica.replicaId}`)
    .join(', ');
}

/** Enough of a checksum to tell it from another one. */
function brief(checksum: string): string {
  return checksum.slice(0, 12);
}

/** Who has what: `3f2a91c0d1e2 at (n1,s1):1, (n2,s2):2; 77ab... at (n3,s3):3; not heard of: ...`. */
function describe(collected: readonly Collected[]): string {
  const groups = new Map<string, Collected[]>();
  for (const each of collected) {
    const title = each.answer === undefined ? 'not heard of:' : `${brief(each.answer.checksum)} at`;
    const group = groups.get(title) ?? [];
    groups.set(title, group);
    group.push(each);
  }
  return [...groups.keys()]
    .map((title) => `${title} ${namesOf(must(groups.get(title)))}`)
    .join('; ');
}
