/** One decision's input, looked up: which stores hold the range, and what its zone asks for. */
import { type ZoneConfig } from '../kv/index.ts';
import { type ClusterPicture } from './cluster-picture.ts';
import { isAlive, type StoreState } from './store-state.ts';
import {
  type AllocatorSettings,
  type AllocatorTarget,
  type RangePicture,
  type ReplicaRole,
} from './types.ts';
import { type ZoneRules } from './zone-rules.ts';

export interface Situation {
  readonly cluster: ClusterPicture;
  readonly range: RangePicture;
  readonly rules: ZoneRules;
  readonly settings: AllocatorSettings;
  /** Those on their way into or out of the range's voters, too. */
  readonly voters: readonly StoreState[];
  readonly nonVoters: readonly StoreState[];
  /** What is due and cannot be done. */
  readonly blocked: string[];
}

export function situationOf(
  cluster: ClusterPicture,
  range: RangePicture,
  zone: ZoneConfig,
  settings: AllocatorSettings,
): Situation {
  const voters: StoreState[] = [];
  const nonVoters: StoreState[] = [];
  for (const replica of range.replicas) {
    if (replica.kind === 'learner') continue;
    (replica.kind === 'non-voter' ? nonVoters : voters).push(cluster.storeOf(replica));
  }
  const rules = cluster.rulesOf(zone);
  return { cluster, range, rules, settings, voters, nonVoters, blocked: [] };
}

/** Which of them have to be there for the range to serve. */
export function quorumOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

export function liveVoters({ voters }: Situation): StoreState[] {
  return voters.filter(isAlive);
}

export function holders(situation: Situation, role: ReplicaRole): readonly StoreState[] {
  return role === 'voter' ? situation.voters : situation.nonVoters;
}

/** The situation without the replica on `gone`. */
export function without(situation: Situation, gone: StoreState): Situation {
  const stays = (each: StoreState): boolean => each !== gone;
  return {
    ...situation,
    voters: situation.voters.filter(stays),
    nonVoters: situation.nonVoters.filter(stays),
  };
}

export function violationsOf({ rules, voters, nonVoters }: Situation): number {
  return rules.violations(voters, nonVoters);
}

/** Nothing is guessed about replicas on stores that nobody has heard of. */
export function allKnown({ voters, nonVoters }: Situation): boolean {
  return voters.every((each) => each.isKnown) && nonVoters.every((each) => each.isKnown);
}

/** Where all replicas vote they are called replicas. */
export function nameOf({ rules }: Situation, role: ReplicaRole): string {
  return role === 'voter' && rules.numNonVoters === 0 ? 'replicas' : `${role}s`;
}

export function target({ nodeId, storeId }: StoreState): AllocatorTarget {
  return { nodeId, storeId };
}
