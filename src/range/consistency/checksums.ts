/**
 * A store's part in consistency checks: when a replica applies `compute-checksum` it takes a snapshot of its engine in that
 * very step and hashes it behind the traffic; whoever leads the range asks for the result.
 *
 *     'replica-checksum'   leaseholder -> every store with a replica: what have you got at this check?
 *     'replica-diverged'   leaseholder -> a store in the minority: the majority has another checksum
 *
 * A store that is told so looks at its own result first. When it differs, what the store holds is damaged: it ends itself
 * with a CorruptionError, and is marked DAMAGED with everything in it (docs/STORES.md).
 */
import {
  asRangeId,
  kvSettings,
  storeMethod,
  type ChecksumTrigger,
  type RangeId,
  type ReplicaDescriptor,
} from '../../kv/index.ts';
import { CorruptionError } from '../../storage/index.ts';
import { isCount, Pace, yieldTurn } from '../../util/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';
import { digestRange, digestStats } from './digest.ts';
import { type ReplicaAnswer } from './verdict.ts';

const checksumMethod = 'replica-checksum';
const divergedMethod = 'replica-diverged';
/** A replica that has not applied the command by then is behind, and is left out. */
const beginWithinMs = 15_000;
/** What a slow range may take beyond its share of the rate, which others share. */
const rateShare = 4;
const keptMs = 600_000;
const divergedTimeoutMs = 5_000;

/** One check of one replica. */
class Work {
  hasBegun = false;
  settle: (answer: ReplicaAnswer | undefined) => void = () => undefined;
  readonly answer = new Promise<ReplicaAnswer | undefined>((resolve) => {
    this.settle = resolve;
  });
}

export class ReplicaChecksums {
  readonly #store: Store;
  readonly #pace: Pace;
  readonly #works = new Map<string, Work>();

  constructor(store: Store) {
    this.#store = store;
    this.#pace = new Pace(store.env);
    const { transport } = store.deps;
    transport.onCall(storeMethod(checksumMethod, store.storeId), (payload) => this.#serve(payload));
    transport.onCall(storeMethod(divergedMethod, store.storeId), (payload) =>
      this.#diverged(payload),
    );
  }

  /** Called when the command has been applied, and nothing after it. */
  begin(replica: Replica, { checkId, mode }: ChecksumTrigger): void {
    if (!this.#store.running) return;
    const work = this.#work(replica.rangeId, checkId);
    work.hasBegun = true;
    this.#compute(replica, mode).then(
      (answer) => work.settle(answer),
      (error: unknown) => {
        work.settle(undefined);
        // The engine of a store that stops is closed under the reader.
        if (this.#store.serving) this.#store.fatal(error);
      },
    );
  }

  /** What the replica on `member`'s store has; undefined when it does not say so in time. `sizeBytes`: of the range. */
  async ask(
    member: ReplicaDescriptor,
    rangeId: RangeId,
    checkId: number,
    sizeBytes: number,
  ): Promise<ReplicaAnswer | undefined> {
    const { deps } = this.#store;
    const rate = deps.clusterSettings.get(kvSettings.consistencyCheckMaxRate);
    const timeoutMs = Math.ceil(2 * beginWithinMs + (rateShare * 1000 * sizeBytes) / rate);
    const method = storeMethod(checksumMethod, member.storeId);
    const question = { rangeId, checkId };
    const options = { timeoutMs: Math.min(timeoutMs, keptMs), traffic: 'system' } as const;
    try {
      const answer = await deps.transport.call(member.nodeId, method, question, options);
      // Made by `#serve` of a store of the same version of the wire format.
      return answer === null ? undefined : (answer as ReplicaAnswer);
    } catch (error) {
      const reason = String(error);
      deps.env.log.debug({ range: rangeId, store: member.storeId, reason }, 'no checksum');
      return undefined;
    }
  }

  /** Tells a store in the minority. It may not hear of it: the next check finds it again. */
  async accuse(
    member: ReplicaDescriptor,
    rangeId: RangeId,
    checkId: number,
    checksum: string,
  ): Promise<void> {
    const { transport, env } = this.#store.deps;
    const method = storeMethod(divergedMethod, member.storeId);
    const options = { timeoutMs: divergedTimeoutMs, traffic: 'system' } as const;
    try {
      await transport.call(member.nodeId, method, { rangeId, checkId, checksum }, options);
    } catch (error) {
      const reason = String(error);
      env.log.debug({ range: rangeId, store: member.storeId, reason }, 'no answer');
    }
  }

  /** All that belongs to one moment is read before the first await. */
  async #compute(
    replica: Replica,
    mode: ChecksumTrigger['mode'],
  ): Promise<ReplicaAnswer | undefined> {
    const { descriptor, stats: recorded } = replica;
    if (mode === 'stats') return { checksum: digestStats(recorded), recorded, found: undefined };
    const snapshot = this.#store.engineSnapshot();
    try {
      const digest = await digestRange(snapshot, descriptor, (bytes) => this.#turn(bytes));
      this.#store.counters.rangesHashed++;
      return { checksum: digest.checksum, recorded, found: digest.stats };
    } finally {
      snapshot.close();
    }
  }

  async #turn(bytes: number): Promise<void> {
    const { env, clusterSettings } = this.#store.deps;
    await this.#pace.take(bytes, clusterSettings.get(kvSettings.consistencyCheckMaxRate));
    await yieldTurn(env);
    if (!this.#store.serving) throw new Error('the store stops');
  }

  async #serve(payload: unknown): Promise<ReplicaAnswer | null> {
    const named = readName(payload);
    if (named === undefined || !this.#store.serving) return null;
    return (await this.#work(named.rangeId, named.checkId).answer) ?? null;
  }

  async #diverged(payload: unknown): Promise<boolean> {
    const named = readName(payload);
    const store = this.#store;
    if (named === undefined || !store.serving) return false;
    const { rangeId, checkId } = named;
    const checksum: unknown = Reflect.get(Object(payload), 'checksum');
    const own = await this.#works.get(nameOf(rangeId, checkId))?.answer;
    if (own === undefined || typeof checksum !== 'string' || own.checksum === checksum)
      return false;
    store.fatal(
      new CorruptionError(
        `range ${rangeId}: what store ${store.storeId} holds of it is not what the majority of its replicas holds`,
      ),
    );
    return true;
  }

  /** Whoever comes first, the command or the question, makes it. */
  #work(rangeId: RangeId, checkId: number): Work {
    const name = nameOf(rangeId, checkId);
    const known = this.#works.get(name);
    if (known !== undefined) return known;
    const work = new Work();
    this.#works.set(name, work);
    const { timers } = this.#store.env;
    timers.after(beginWithinMs, () => {
      if (work.hasBegun) return;
      work.settle(undefined);
      this.#works.delete(name);
    });
    timers.after(keptMs, () => {
      if (this.#works.get(name) === work) this.#works.delete(name);
    });
    return work;
  }
}

function nameOf(rangeId: RangeId, checkId: number): string {
  return `${rangeId}/${checkId}`;
}

function readName(
  payload: unknown,
): { readonly rangeId: RangeId; readonly checkId: number } | undefined {
  const rangeId: unknown = Reflect.get(Object(payload), 'rangeId');
  const checkId: unknown = Reflect.get(Object(payload), 'checkId');
  if (!isCount(rangeId) || !isCount(checkId)) return undefined;
  return { rangeId: asRangeId(rangeId), checkId };
}
