/**
 * What a command does beyond its writes, worked out once, at the leaseholder, right before it is proposed: what a
 * deletion of spans takes away, how the sizes of a range divide when it is split, what the right side of a merge brings
 * along. Every replica then does blindly what the command says.
 */
import { laterTimestamp, type CommitTrigger } from '../../kv/index.ts';
import {
  addStats,
  computeStats,
  subtractStats,
  unversionedDelta,
  type EngineWrite,
} from '../../storage/index.ts';
import { assert } from '../../util/index.ts';
import { type Command, type ProposeOutcome } from '../ports.ts';
import { type SplitEffects } from './command-codec.ts';
import { encodeThreshold, gcThresholdKey, readThreshold } from './range-state.ts';
import { type Replica } from './replica.ts';
import { RightSideStats } from './split-stats.ts';

/** To be called in the step in which the effects are known. */
export type Propose = (
  command: Command,
  split: SplitEffects | undefined,
) => Promise<ProposeOutcome>;

type Trigger<K extends CommitTrigger['kind']> = Extract<CommitTrigger, { kind: K }>;

export class Effects {
  readonly #replica: Replica;
  /** Commands applied while a split is being prepared are attributed to its sides here. */
  #splitStats: RightSideStats | undefined;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** Proposes `command` with all that it does: in this very step, unless something has to be counted first. */
  propose(command: Command, propose: Propose): Promise<ProposeOutcome> {
    if (command.clears.length > 0) return this.#clear(command, propose);
    const { trigger } = command;
    if (trigger?.kind === 'split') return this.#split(command, trigger, propose);
    if (trigger?.kind === 'merge') return this.#merge(command, trigger, propose);
    return propose(command, undefined);
  }

  /** Counts a command for the split that is being prepared, if there is one. */
  noteApplied(command: Command): void {
    this.#splitStats?.add(command);
  }

  /**
   * Counts what is about to go; the executor keeps everybody else off the spans meanwhile. Followers and later leaseholders
   * learn of the threshold below which nothing may be read any more.
   */
  async #clear(command: Command, propose: Propose): Promise<ProposeOutcome> {
    let { statsDelta } = command;
    const snapshot = this.#replica.host.engineSnapshot();
    try {
      for (const { start, end } of command.clears) {
        statsDelta = subtractStats(statsDelta, await computeStats(snapshot, start, end));
      }
    } finally {
      snapshot.close();
    }
    return propose(this.withThreshold({ ...command, statsDelta }), undefined);
  }

  /** The command writes the GC threshold of now, too. To be proposed in this very step. */
  withThreshold(command: Command): Command {
    const { lease, descriptor } = this.#replica;
    const value = encodeThreshold(lease.gcThreshold);
    return this.#withNotes(command, [{ key: gcThresholdKey(descriptor), value }]);
  }

  /** With writes to keys without versions. */
  #withNotes(command: Command, notes: readonly EngineWrite[]): Command {
    const added = unversionedDelta({ get: (key) => this.#valueAhead(key) }, notes);
    return {
      ...command,
      writes: [...command.writes, ...notes],
      statsDelta: addStats(command.statsDelta, added),
    };
  }

  /** What the engine will hold when all that is on its way has been applied. */
  #valueAhead(key: Buffer): Buffer | undefined {
    const { host, proposals, applier } = this.#replica;
    const last = [...applier.underWay, ...proposals.commands()]
      .flatMap(({ writes }) => writes)
      .findLast((write) => write.key.equals(key));
    return last === undefined ? host.engine.get(key) : last.value;
  }

  /** Sizes of the right side are counted beside the traffic; the range keeps serving. */
  async #split(
    command: Command,
    trigger: Trigger<'split'>,
    propose: Propose,
  ): Promise<ProposeOutcome> {
    assert(this.#splitStats === undefined, 'one split of a range at a time');
    const { host, proposals, descriptor } = this.#replica;
    const counting = new RightSideStats(trigger.right);
    this.#splitStats = counting;
    try {
      await counting.scan(host.engineSnapshot());
      await counting.addWrites(command, host.engine);
      // Proposals that are not applied yet come before the split in the log.
      for (const earlier of proposals.commands()) counting.add(earlier);
      // Both sides keep the threshold. Not each replica for itself: one that is behind gets a newer threshold and the split at once.
      const value = this.#valueAhead(gcThresholdKey(descriptor));
      const copies = value === undefined ? [] : [{ key: gcThresholdKey(trigger.right), value }];
      const whole = this.#withNotes(command, copies);
      const added = subtractStats(whole.statsDelta, command.statsDelta);
      return await propose(whole, { rightStats: addStats(counting.result(), added) });
    } finally {
      this.#splitStats = undefined;
    }
  }

  /** The right side is frozen, and its replica on this store has everything: `replica/merge.ts`. */
  #merge(command: Command, trigger: Trigger<'merge'>, propose: Propose): Promise<ProposeOutcome> {
    const { host, descriptor } = this.#replica;
    const { right, frozen } = trigger;
    const replica = host.replicaOf(right.rangeId);
    if (
      replica?.initialised !== true ||
      replica.descriptor.generation !== right.generation ||
      replica.applier.appliedIndex < frozen.appliedIndex
    ) {
      const reason = `range ${right.rangeId} is not here to be merged`;
      return Promise.resolve({ kind: 'rejected', error: { kind: 'unavailable', reason } });
    }
    const threshold = laterTimestamp(
      readThreshold(host.engine, descriptor),
      readThreshold(host.engine, right),
    );
    const whole = this.#withNotes(command, [
      { key: gcThresholdKey(descriptor), value: encodeThreshold(threshold) },
      { key: gcThresholdKey(right), value: undefined },
    ]);
    const statsDelta = addStats(whole.statsDelta, replica.stats);
    return propose({ ...whole, statsDelta }, undefined);
  }
}
