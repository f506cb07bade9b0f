/** Which replicas of a range are right: what more than half of all of them hold. */
import { type ReplicaDescriptor } from '../../kv/index.ts';
import { type MvccStats } from '../../storage/index.ts';

/** What one replica has at the index of the check. */
export interface ReplicaAnswer {
  readonly checksum: string;
  /** As the range has recorded them. */
  readonly recorded: MvccStats;
  /** As they were counted; undefined when the data was not read. */
  readonly found: MvccStats | undefined;
}

export interface Collected {
  readonly replica: ReplicaDescriptor;
  /** Undefined: no answer in time. */
  readonly answer: ReplicaAnswer | undefined;
}

export type Verdict =
  | { readonly kind: 'equal' }
  /** The leaseholder had nobody to compare with. */
  | { readonly kind: 'alone' }
  /** `minority` differs from `checksum`, which more than half of all replicas have. */
  | {
      readonly kind: 'minority';
      readonly checksum: string;
      readonly minority: readonly ReplicaDescriptor[];
    }
  /** They differ, and nobody knows who is right. */
  | { readonly kind: 'undecided' };

/** Those that have not answered count against every majority: they may hold anything. */
export function judge(collected: readonly Collected[]): Verdict {
  const holders = new Map<string, ReplicaDescriptor[]>();
  for (const { replica, answer } of collected) {
    if (answer === undefined) continue;
    holders.set(answer.checksum, [...(holders.get(answer.checksum) ?? []), replica]);
  }
  const answered = [...holders.values()].flat().length;
  if (answered < Math.min(2, collected.length)) return { kind: 'alone' };
  if (holders.size === 1) return { kind: 'equal' };
  for (const [checksum, { length }] of holders) {
    if (length * 2 <= collected.length) continue;
    const minority = [...holders].filter(([other]) => other !== checksum);
    return { kind: 'minority', checksum, minority: minority.flatMap(([, replicas]) => replicas) };
  }
  return { kind: 'undecided' };
}
