/**
 * The raft scheduler of a store. A turn takes the Readys of all replicas that have one and does, for
 * all of them together: send messages (one frame per peer store), one append to the raft log, apply
 * what is committed. When the append is durable, the messages that promise durability leave, and the
 * next turn follows at once. Appends of several turns may be on their way to the disk.
 *
 * The busier the store, the more is done in one turn: proposals wait for the write that is under way.
 * Entries that a leader holds back while an append is unanswered are released `holdMs` later, when the answer
 * has not come by then.
 *
 * Only replicas that are awake are ticked. A quiet range costs nothing.
 */
import { storeMethod, type StoreId, type Transport } from '../../kv/index.ts';
import { type Message, type Ready } from '../../raft/index.ts';
import { type LogAppend } from '../../storage/index.ts';
import { type TimerHandle } from '../../util/index.ts';
import { type ReplicaHost } from '../replica/host.ts';
import { encodeFrame, type RaftEnvelope } from '../replica/message-codec.ts';
import { type PeerAddress, type Replica } from '../replica/replica.ts';

export const raftMethod = 'raft';

export interface SchedulerDeps {
  readonly host: ReplicaHost;
  readonly transport: Transport;
  /** A Ready with a snapshot: the data was staged before. Resolves when everything in it is durable. */
  readonly install: (replica: Replica, ready: Ready) => Promise<void>;
  readonly sendSnapshot: (replica: Replica, to: number) => void;
  /** Raft has spoken about everything that was stepped in before this turn. */
  readonly turned: (replica: Replica, installing: boolean) => void;
  /** The replica is not ticked from here on. */
  readonly slept: (replica: Replica) => void;
  /** It is ticked again; called before anything happens to it. */
  readonly woke: (replica: Replica) => void;
}

interface WriteTask {
  readonly replica: Replica;
  readonly last: { readonly term: number; readonly index: number } | undefined;
  readonly afterPersist: readonly Addressed[];
}

interface Addressed {
  readonly to: PeerAddress;
  readonly envelope: RaftEnvelope;
}

export class RaftScheduler {
  readonly #deps: SchedulerDeps;
  /** Appends to the raft log under way; every one of them ends in a turn. */
  #writes = 0;
  readonly #awake = new Set<Replica>();
  #queue: Replica[] = [];
  #turnScheduled = false;
  #inTurn = false;
  #timer: TimerHandle | undefined;
  /** Replicas that hold entries back, and until when (monotonic milliseconds); the oldest first. */
  readonly #holding = new Map<Replica, number>();
  #holdTimer: TimerHandle | undefined;
  #stopped = false;
  readonly #outbox = new Map<StoreId, { to: PeerAddress; envelopes: RaftEnvelope[] }>();

  constructor(deps: SchedulerDeps) {
    this.#deps = deps;
  }

  get awake(): ReadonlySet<Replica> {
    return this.#awake;
  }

  start(onTick: () => void): void {
    const beat = (): void => {
      if (this.#stopped) return;
      onTick();
      this.#timer = this.#deps.host.env.timers.after(this.#deps.host.settings.tickMs, beat);
      if (this.#deps.host.diskIsSlow) return;
      // A copy: a replica that falls asleep may be woken in the same breath.
      for (const replica of Array.from(this.#awake)) {
        if (!replica.tick() && this.#awake.delete(replica)) this.#deps.slept(replica);
        if (!replica.destroyed && replica.raft.hasReady()) this.activate(replica);
      }
    };
    beat();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#holdTimer?.cancel();
    this.#holding.clear();
    this.#awake.clear();
    this.#queue = [];
  }

  /**
   * Proposals alone get their turn when a write under way ends: the log writes one block at a time, so
   * that theirs would wait anyway. Everything else gets it at once, and takes them along.
   */
  activate(replica: Replica): void {
    const mayWait = replica.onlyProposed && this.#writes > 0;
    replica.onlyProposed = false;
    if (this.#stopped || replica.destroyed) return;
    if (!this.#awake.has(replica)) {
      this.#awake.add(replica);
      this.#deps.woke(replica);
    }
    if (!replica.queuedForTurn) {
      replica.queuedForTurn = true;
      this.#queue.push(replica);
    }
    if (mayWait || this.#turnScheduled || this.#inTurn) return;
    this.#schedule();
  }

  forget(replica: Replica): void {
    this.#awake.delete(replica);
    this.#holding.delete(replica);
  }

  #schedule(): void {
    this.#turnScheduled = true;
    this.#deps.host.env.timers.immediate(() => {
      this.#turnScheduled = false;
      this.#turn();
    });
  }

  #turn(): void {
    if (this.#stopped || this.#inTurn) return;
    this.#inTurn = true;
    try {
      this.#runTurn();
    } catch (error) {
      this.#deps.host.fatal(error);
    } finally {
      this.#inTurn = false;
    }
    if (this.#queue.length > 0 && !this.#turnScheduled) this.#schedule();
  }

  #runTurn(): void {
    const batch = this.#queue;
    if (batch.length === 0 && this.#outbox.size === 0) return;
    this.#queue = [];
    this.#deps.host.counters.raftTurns++;
    const appends: LogAppend[] = [];
    const tasks: WriteTask[] = [];
    const readys: { replica: Replica; ready: Ready }[] = [];
    for (const replica of batch) {
      replica.queuedForTurn = false;
      if (replica.destroyed || replica.suspended > 0) continue;
      if (!replica.raft.hasReady()) {
        this.#deps.turned(replica, false);
        this.#noteHeld(replica);
        replica.afterTurn();
        continue;
      }
      const ready = replica.raft.ready();
      this.#noteHeld(replica);
      this.#deps.turned(replica, ready.snapshot !== undefined);
      readys.push({ replica, ready });
      this.#collect(replica, ready, appends, tasks);
    }
    this.#flushOutbox();
    if (appends.length > 0) this.#append(appends, tasks);
    for (const { replica, ready } of readys) {
      if (ready.snapshot !== undefined) continue;
      replica.committed(ready);
      for (const to of ready.snapshotsWanted) this.#deps.sendSnapshot(replica, to);
      replica.afterTurn();
      if (replica.raft.hasReady()) this.activate(replica);
    }
  }

  #noteHeld(replica: Replica): void {
    if (!replica.raft.holdsEntries) {
      this.#holding.delete(replica);
    } else if (!this.#holding.has(replica)) {
      const { env, settings } = this.#deps.host;
      this.#holding.set(replica, env.clock.monotonicMs() + settings.holdMs);
      this.#holdTimer ??= env.timers.after(settings.holdMs, () => this.#releaseHeld());
    }
  }

  #releaseHeld(): void {
    this.#holdTimer = undefined;
    const { env } = this.#deps.host;
    const now = env.clock.monotonicMs();
    for (const [replica, dueMs] of this.#holding) {
      if (dueMs > now) {
        this.#holdTimer = env.timers.after(dueMs - now, () => this.#releaseHeld());
        return;
      }
      this.#holding.delete(replica);
      replica.raft.releaseHeld();
      this.activate(replica);
    }
  }

  #collect(replica: Replica, ready: Ready, appends: LogAppend[], tasks: WriteTask[]): void {
    for (const message of ready.messages) this.#post(replica, message);
    const last = ready.entries.at(-1);
    if (ready.snapshot !== undefined) {
      this.#installSnapshot(replica, ready);
      return;
    }
    if (last === undefined && ready.hardState === undefined) {
      for (const message of ready.messagesAfterPersist) this.#post(replica, message);
      return;
    }
    const { rangeId } = replica;
    appends.push({ rangeId, hardState: ready.hardState, entries: ready.entries });
    tasks.push({
      replica,
      last: last === undefined ? undefined : { term: last.term, index: last.index },
      afterPersist: this.#address(replica, ready.messagesAfterPersist),
    });
  }

  #append(appends: readonly LogAppend[], tasks: readonly WriteTask[]): void {
    this.#writes++;
    this.#deps.host.raftLog.append(appends).then(
      () => {
        this.#writes--;
        this.#durable(tasks);
      },
      (error: unknown) => this.#deps.host.fatal(error),
    );
  }

  #durable(tasks: readonly WriteTask[]): void {
    if (this.#stopped) return;
    for (const { replica, last, afterPersist } of tasks) {
      if (replica.destroyed) continue;
      for (const { to, envelope } of afterPersist) this.#enqueue(to, envelope);
      replica.raft.persisted(last);
      this.activate(replica);
    }
    this.#turn();
  }

  #installSnapshot(replica: Replica, ready: Ready): void {
    replica.suspended++;
    const afterPersist = this.#address(replica, ready.messagesAfterPersist);
    this.#deps.install(replica, ready).then(
      () => {
        replica.suspended--;
        const last = ready.entries.at(-1) ?? ready.snapshot;
        this.#durable([
          {
            replica,
            last: last === undefined ? undefined : { term: last.term, index: last.index },
            afterPersist,
          },
        ]);
      },
      (error: unknown) => this.#deps.host.fatal(error),
    );
  }

  /** The support epoch is taken now, while the core's state is the one the message was made in. */
  #address(replica: Replica, messages: readonly Message[]): Addressed[] {
    const addressed: Addressed[] = [];
    for (const message of messages) {
      const to = replica.address(message.to);
      if (to === undefined) continue;
      const answers = message.kind === 'append-response' || message.kind === 'heartbeat-response';
      const supportEpoch = answers ? replica.supportEpochFor(message) : 0;
      addressed.push({ to, envelope: { rangeId: replica.rangeId, message, supportEpoch } });
    }
    return addressed;
  }

  #post(replica: Replica, message: Message): void {
    for (const { to, envelope } of this.#address(replica, [message])) this.#enqueue(to, envelope);
  }

  #enqueue(to: PeerAddress, envelope: RaftEnvelope): void {
    const box = this.#outbox.get(to.storeId);
    if (box === undefined) this.#outbox.set(to.storeId, { to, envelopes: [envelope] });
    else box.envelopes.push(envelope);
  }

  #flushOutbox(): void {
    if (this.#outbox.size === 0) return;
    const { host, transport } = this.#deps;
    const now = host.clock.now();
    for (const { to, envelopes } of this.#outbox.values()) {
      host.counters.raftMessagesSent += envelopes.length;
      const frame = encodeFrame({ fromStore: host.storeId, toStore: to.storeId, now, envelopes });
      transport.send(to.nodeId, storeMethod(raftMethod, to.storeId), frame, 'raft');
    }
    this.#outbox.clear();
  }
}
