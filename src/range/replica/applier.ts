/**
 * Applies committed entries to the state engine, in order. Commands are physical effects, so applying
 * is a blind write; the effects of all commands of a turn, the applied index and the stats go into one
 * atomic batch (trap R11).
 *
 * Only deletions of whole spans (`clears`) take time, and merges whose right side is in the middle of something: the
 * queue waits for them.
 */
import {
  encodeDescriptor,
  replicaOnStore,
  type ChecksumTrigger,
  type CommitTrigger,
  type RangeDescriptor,
} from '../../kv/index.ts';
import { type Configuration, type Entry } from '../../raft/index.ts';
import {
  addStats,
  engineSpans,
  rangeStateKey,
  subtractStats,
  type EngineWrite,
  type MvccStats,
} from '../../storage/index.ts';
import { assert, must, unreachable } from '../../util/index.ts';
import { type Command, type ProposeOutcome } from '../ports.ts';
import { decodeCommand, type SplitEffects } from './command-codec.ts';
import { reconcileConfiguration } from './configuration.ts';
import { type PendingProposal } from './proposals.ts';
import { encodeApplied, gcThresholdKey, type ReplayFloor } from './range-state.ts';
import { eventsOf } from './range-events.ts';
import { type Replica } from './replica.ts';

export interface ApplierStart {
  readonly index: number;
  readonly term: number;
  readonly configuration: Configuration;
  readonly stats: MvccStats;
  readonly statsIndex: number;
}

type MergeTrigger = Extract<CommitTrigger, { kind: 'merge' }>;

/** An entry that waits to be applied. */
interface Decoded {
  readonly entry: Entry;
  readonly command: Command;
  readonly split: SplitEffects | undefined;
  readonly proposal: PendingProposal | undefined;
}

interface Finished {
  readonly proposal: PendingProposal;
  readonly outcome: ProposeOutcome;
}

const applied: ProposeOutcome = { kind: 'applied' };
const nothing: readonly Entry[] = [];

export class Applier {
  readonly #replica: Replica;
  #queue: readonly Entry[] = nothing;
  #at = 0;
  /** Nothing is applied behind it before the work is done that it begins with. */
  #paused: Command | undefined;
  #splitsQueued = 0;

  appliedIndex: number;
  appliedTerm: number;
  stats: MvccStats;
  configuration: Configuration;
  /** Index of the entry that made `configuration`. */
  configurationIndex: number;
  /** Deltas up to here are in `stats` already: a replay. */
  #statsIndex: number;

  #writes: EngineWrite[] = [];
  /** Closed by the commands in `#writes`. */
  #closed = 0;
  #finished: Finished[] = [];

  constructor(replica: Replica, start: ApplierStart) {
    this.#replica = replica;
    this.appliedIndex = start.index;
    this.appliedTerm = start.term;
    this.stats = start.stats;
    this.configuration = start.configuration;
    this.configurationIndex = start.index;
    this.#statsIndex = start.statsIndex;
  }

  /** A split is committed but waits behind a deletion: the lease must not be used meanwhile. */
  get splitPending(): boolean {
    return this.#paused !== undefined && this.#splitsQueued > 0;
  }

  /** The command that is being applied right now, unless that is done in one step. */
  get underWay(): readonly Command[] {
    return this.#paused === undefined ? [] : [this.#paused];
  }

  get idle(): boolean {
    return this.#paused === undefined && this.#at >= this.#queue.length;
  }

  enqueue(entries: readonly Entry[]): void {
    if (this.#at >= this.#queue.length) {
      this.#queue = entries;
      this.#at = 0;
    } else {
      this.#queue = [...this.#queue.slice(this.#at), ...entries];
      this.#at = 0;
    }
    if (this.#paused === undefined) this.#drain();
    else this.#countSplits();
  }

  /** A snapshot replaced everything. */
  reset(floor: ReplayFloor, stats: MvccStats): void {
    assert(this.idle, 'no entry is being applied while a snapshot is installed');
    this.appliedIndex = floor.index;
    this.appliedTerm = floor.term;
    this.configuration = floor.configuration;
    this.configurationIndex = floor.index;
    this.stats = stats;
    this.#statsIndex = floor.index;
    this.#replica.beginHistory();
  }

  /** Where a replay may begin once everything applied so far is durable. */
  floor(): ReplayFloor {
    return {
      index: this.appliedIndex,
      term: this.appliedTerm,
      configuration: this.configuration,
    };
  }

  #drain(): void {
    while (this.#at < this.#queue.length) {
      if (this.#replica.destroyed) return;
      const entry = must(this.#queue[this.#at++]);
      assert(entry.index === this.appliedIndex + 1, 'entries are applied without gaps');
      const proposal = this.#takeProposal(entry);
      if (entry.kind === 'config') this.#applyConfiguration(entry);
      else if (entry.data.length > 0) {
        // The leader kept the decoded form.
        const decoded = proposal === undefined ? decodeCommand(entry.data) : undefined;
        const command = decoded ?? must(proposal).command;
        const { split, closed } = decoded ?? must(proposal);
        this.#closed = Math.max(this.#closed, closed);
        this.#replica.host.clock.observe(command.timestamp);
        const work = this.#workBefore(command);
        if (work !== undefined) {
          this.#pauseFor(work, { entry, command, split, proposal });
          return;
        }
        this.#apply(entry, command, split);
      }
      this.#advance(entry);
      if (proposal !== undefined) this.#finished.push({ proposal, outcome: applied });
    }
    this.#queue = nothing;
    this.#at = 0;
    this.#flush();
  }

  /** The proposal of this very entry; one of another term at its index is refused. */
  #takeProposal(entry: Entry): PendingProposal | undefined {
    const proposal = this.#replica.proposals.take(entry.index);
    if (proposal === undefined) return undefined;
    if (proposal.term === entry.term) return proposal;
    const error = this.#replica.notLeaseholder();
    this.#finished.push({ proposal, outcome: { kind: 'rejected', error } });
    return undefined;
  }

  #apply(entry: Entry, command: Command, split: SplitEffects | undefined): void {
    this.#replica.effects.noteApplied(command);
    const { committed } = command;
    if (committed !== undefined) {
      this.#replica.host.appliedCommits.note(committed, command.timestamp);
    }
    for (const write of command.writes) this.#writes.push(write);
    if (entry.index > this.#statsIndex) this.stats = addStats(this.stats, command.statsDelta);
    const { trigger } = command;
    if (trigger === undefined) return;
    // The other side of a split, and replicas that come or go, wait for the followers to know.
    this.#replica.raft.announceCommit();
    this.#replica.activate();
    switch (trigger.kind) {
      case 'split':
        this.#applySplit(entry, trigger.left, trigger.right, must(split));
        return;
      case 'change-replicas':
        this.#applyDescriptor(entry, trigger.range);
        return;
      case 'merge':
        this.#applyMerge(entry, trigger);
        return;
      case 'compute-checksum':
        this.#beginChecksum(entry, trigger);
        return;
      case 'hand-over':
        this.#replica.lease.noteHandover(entry.index, trigger.handover);
        return;
      default:
        unreachable(trigger);
    }
  }

  #applyConfiguration(entry: Entry): void {
    // What was applied before stands under the old configuration.
    this.#flush();
    this.configuration = this.#replica.raft.applyConfigChange(entry);
    this.configurationIndex = entry.index;
  }

  #applyDescriptor(entry: Entry, range: RangeDescriptor): void {
    const replica = this.#replica;
    if (range.generation <= replica.descriptor.generation) return;
    this.#writes.push(this.#descriptorWrite(range));
    this.#advance(entry);
    this.#flush();
    this.#noteEvents({ kind: 'change-replicas', range });
    replica.setDescriptor(range);
    const mine = replicaOnStore(range, replica.storeId);
    replica.host.descriptorChanged(replica, mine?.replicaId !== replica.replicaId);
    reconcileConfiguration(replica);
  }

  #applySplit(
    entry: Entry,
    left: RangeDescriptor,
    right: RangeDescriptor,
    effects: SplitEffects,
  ): void {
    const replica = this.#replica;
    if (entry.index > this.#statsIndex) {
      this.stats = subtractStats(this.stats, effects.rightStats);
    }
    const newer = left.generation > replica.descriptor.generation;
    if (newer) this.#writes.push(this.#descriptorWrite(left));
    const prepared = replica.host.prepareRight(replica, right, effects.rightStats);
    for (const write of prepared.writes) this.#writes.push(write);
    this.#advance(entry);
    this.#flush();
    if (newer) {
      this.#noteEvents({ kind: 'split', left, right });
      replica.setDescriptor(left);
    }
    prepared.finish();
    if (newer) replica.host.descriptorChanged(replica, false);
  }

  #applyMerge(entry: Entry, trigger: MergeTrigger): void {
    const replica = this.#replica;
    const { left, frozen } = trigger;
    const isReplayed = entry.index <= this.#statsIndex;
    const newer = left.generation > replica.descriptor.generation;
    if (newer) this.#writes.push(this.#descriptorWrite(left));
    const prepared = replica.host.prepareAbsorption(trigger, isReplayed);
    for (const write of prepared.writes) this.#writes.push(write);
    this.#advance(entry);
    this.#flush();
    prepared.finish();
    if (!newer) return;
    this.#noteEvents(trigger);
    replica.setDescriptor(left);
    replica.beginHistory();
    replica.lease.absorb(frozen);
    replica.host.descriptorChanged(replica, false);
  }

  /** To be called while the replica has the descriptor that is about to change. */
  #noteEvents(trigger: CommitTrigger): void {
    const { host, holdsLease, descriptor } = this.#replica;
    if (holdsLease) host.noteEvents(eventsOf(trigger, descriptor));
  }

  /** Not in a replay: what survived a crash is ahead of the log there. */
  #beginChecksum(entry: Entry, trigger: ChecksumTrigger): void {
    this.#advance(entry);
    this.#flush();
    if (entry.index > this.#statsIndex) this.#replica.host.beginChecksum(this.#replica, trigger);
  }

  #descriptorWrite(range: RangeDescriptor): EngineWrite {
    return {
      key: rangeStateKey(this.#replica.rangeId, 'descriptor'),
      value: encodeDescriptor(range),
    };
  }

  #advance(entry: Entry): void {
    this.appliedIndex = entry.index;
    this.appliedTerm = entry.term;
  }

  /** One batch for everything since the last flush; then the proposals learn their outcome. */
  #flush(): void {
    const replica = this.#replica;
    if (this.appliedIndex > replica.raft.appliedIndex) {
      const writes = this.#writes;
      this.#writes = [];
      // During a replay the surviving record is ahead and stays.
      if (this.appliedIndex > this.#statsIndex) {
        const value = encodeApplied(this.appliedIndex, this.appliedTerm, this.stats);
        writes.push({ key: rangeStateKey(replica.rangeId, 'applied'), value });
      }
      replica.feed?.observe(writes);
      if (writes.length > 0) replica.host.engine.apply(writes);
      replica.closed.learn(this.#closed);
      replica.host.counters.entriesApplied += this.appliedIndex - replica.raft.appliedIndex;
      replica.raft.applied(this.appliedIndex);
      replica.host.noteDirty(replica);
    }
    const finished = this.#finished;
    if (finished.length === 0) return;
    this.#finished = [];
    for (const { proposal, outcome } of finished) proposal.resolve(outcome);
  }

  /** What takes time and comes before the effects of a command: nothing else is applied meanwhile. */
  #workBefore(command: Command): (() => Promise<void>) | undefined {
    if (command.clears.length > 0) return () => this.#clear(command);
    const { trigger } = command;
    if (trigger?.kind !== 'merge') return undefined;
    const wait = this.#replica.host.untilAbsorbable(trigger.right.rangeId);
    return wait && (() => wait);
  }

  #pauseFor(work: () => Promise<void>, next: Decoded): void {
    // What came before is applied before the work begins.
    this.#flush();
    this.#paused = next.command;
    this.#countSplits();
    work()
      .then(() => {
        this.#paused = undefined;
        const { entry, command, split, proposal } = next;
        if (this.#replica.destroyed) {
          proposal?.resolve({ kind: 'ambiguous', reason: 'the replica was removed' });
          return;
        }
        this.#apply(entry, command, split);
        this.#advance(entry);
        if (proposal !== undefined) this.#finished.push({ proposal, outcome: applied });
        this.#drain();
        this.#replica.activate();
      })
      .catch((error: unknown) => this.#replica.host.fatal(error));
  }

  async #clear(command: Command): Promise<void> {
    const replica = this.#replica;
    // First of all: whoever reads of the past from now on, or after a crash, learns that not all of it is here.
    const threshold = gcThresholdKey(replica.descriptor);
    replica.host.engine.apply(command.writes.filter(({ key }) => key.equals(threshold)));
    for (const { start, end } of command.clears) {
      replica.endFeed({ kind: 'cleared' }, { start, end });
      for (const span of engineSpans(start, end)) {
        await replica.host.engine.clear(span.start, span.end);
      }
    }
  }

  #countSplits(): void {
    this.#splitsQueued = 0;
    for (let i = this.#at; i < this.#queue.length; i++) {
      const entry = must(this.#queue[i]);
      if (entry.kind === 'config' || entry.data.length === 0) continue;
      if (decodeCommand(entry.data).trigger?.kind === 'split') this.#splitsQueued++;
    }
  }
}
