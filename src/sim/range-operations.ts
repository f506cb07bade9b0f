/** What was done to ranges while a run was disturbed, by faults as by queues: read from what the ranges' logs commit. */
import { type RangeDescriptor, type RangeId, isChanging } from '../kv/index.ts';
import { type Entry } from '../raft/index.ts';
import { decodeCommand } from '../range/index.ts';
import { type SimCluster } from './cluster.ts';

export class RangeOperations {
  #splits = 0;
  #merges = 0;
  #replicaChanges = 0;
  #transfersBefore = 0;
  readonly #cluster: SimCluster;
  /** Per range, its members when it was last seen at rest. */
  readonly #members = new Map<RangeId, string>();

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  /** What was done before does not count. */
  begin(): void {
    this.#splits = 0;
    this.#merges = 0;
    this.#replicaChanges = 0;
    this.#transfersBefore = this.#cluster.leaseTransfers;
  }

  /** By name. A relocation counts as the changes it consists of; leases that were lost do not count. */
  get counts(): Readonly<Record<string, number>> {
    return {
      splits: this.#splits,
      merges: this.#merges,
      'changes of replicas': this.#replicaChanges,
      'lease transfers': this.#cluster.leaseTransfers - this.#transfersBefore,
    };
  }

  /** To be called once for each entry that any range commits, in the order of its log. */
  noteCommitted(entry: Entry): void {
    if (entry.kind !== 'normal' || entry.data.length === 0) return;
    const { trigger } = decodeCommand(entry.data);
    switch (trigger?.kind) {
      case undefined:
      case 'compute-checksum':
        return;
      case 'split':
        this.#splits++;
        this.#noteMembers(trigger.left);
        this.#noteMembers(trigger.right);
        return;
      case 'merge':
        this.#merges++;
        return;
      case 'change-replicas':
        if (this.#noteMembers(trigger.range)) this.#replicaChanges++;
        return;
    }
  }

  /** True when they are at rest and differ from those before. */
  #noteMembers(range: RangeDescriptor): boolean {
    if (isChanging(range)) return false;
    const members = range.replicas
      .map(({ replicaId, kind }) => `${kind} ${replicaId}`)
      .sort()
      .join();
    const isNew = this.#members.get(range.rangeId) !== members;
    this.#members.set(range.rangeId, members);
    return isNew;
  }
}
