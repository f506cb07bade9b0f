/**
 * What is done to ranges while a run is disturbed, by faults as by queues, as their descriptors show it: what comes and goes
 * between two looks is missed, nothing is counted twice.
 */
import { type RangeDescriptor, type RangeId, isChanging } from '../kv/index.ts';
import { type CountedOperations, type SimCluster } from './cluster.ts';
import { ranges } from './picture.ts';

export class RangeOperations {
  #splits = 0;
  #merges = 0;
  #replicaChanges = 0;
  readonly #before: Readonly<CountedOperations>;
  readonly #cluster: SimCluster;
  /** The newest descriptor of each range that was ever seen. */
  readonly #known = new Map<RangeId, RangeDescriptor>();
  /** Per range, its members when it was last seen at rest. */
  readonly #members = new Map<RangeId, string>();

  /** Counts from now on. */
  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
    this.#before = cluster.operations;
    for (const range of ranges(cluster)) this.#note(range);
  }

  /**
   * By name. A relocation counts as the changes it consists of; leases that were lost do not count. What was done because of
   * load is not among the others.
   */
  get counts(): Readonly<Record<string, number>> {
    const { operations } = this.#cluster;
    const since = (name: keyof CountedOperations): number => operations[name] - this.#before[name];
    const splitsByLoad = since('splitsByLoad');
    const leasesByLoad = since('leaseMovesByLoad');
    const replicasByLoad = since('replicaMovesByLoad');
    const others = (all: number, byLoad: number): number => Math.max(0, all - byLoad);
    return {
      splits: others(this.#splits, splitsByLoad),
      'splits by load': splitsByLoad,
      merges: this.#merges,
      'changes of replicas': others(this.#replicaChanges, replicasByLoad),
      'lease transfers': others(since('leaseTransfers'), leasesByLoad),
      'leases moved by load': leasesByLoad,
      'replicas moved by load': replicasByLoad,
    };
  }

  look(): void {
    for (const range of ranges(this.#cluster)) {
      const before = this.#known.get(range.rangeId);
      if (before !== undefined && before.generation >= range.generation) continue;
      if (before === undefined) this.#splits++;
      else if (before.endKey.compare(range.endKey) < 0) this.#merges++;
      const hadMembers = this.#members.get(range.rangeId);
      this.#note(range);
      const hasMembers = this.#members.get(range.rangeId);
      if (hadMembers !== undefined && hadMembers !== hasMembers) this.#replicaChanges++;
    }
  }

  #note(range: RangeDescriptor): void {
    this.#known.set(range.rangeId, range);
    if (isChanging(range)) return;
    const members = range.replicas.map(({ replicaId, kind }) => `${kind} ${replicaId}`).sort();
    this.#members.set(range.rangeId, members.join());
  }
}
