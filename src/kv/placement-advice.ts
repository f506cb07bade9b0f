/**
 * What the allocator would do if something changed: asked by statements that explain a change, or refuse one. The
 * question brings the ranges; the stores are as one of the nodes sees them.
 */
import { type ReplicaDescriptor } from './descriptor.ts';
import { type RangeId, type StoreId } from './ids.ts';
import { type Member } from './membership.ts';
import { type ZoneConfig } from './zone-config.ts';

/** A range, or the part of one that is to become a range of its own, under the configuration that is to hold for it. */
export interface AdvisedRange {
  /** Names the range in the answer; nothing else is read from it. */
  readonly rangeId: RangeId;
  readonly replicas: readonly ReplicaDescriptor[];
  readonly sizeBytes: number;
  readonly zone: ZoneConfig;
}

export interface PlacementQuestion {
  /** Those that the change touches. */
  readonly ranges: readonly AdvisedRange[];
  /** Who is to lose its replicas. */
  readonly leaving: readonly Member[];
  /** Ranges that need something done already are blocked, too. */
  readonly strict: boolean;
}

export interface PlannedMove {
  readonly rangeId: RangeId;
  readonly role: 'voter' | 'non-voter';
  /** Undefined: one replica more. */
  readonly from: StoreId | undefined;
  /** Undefined: one replica less. */
  readonly to: StoreId | undefined;
  /** To be copied. */
  readonly bytes: number;
}

export interface BlockedRange {
  readonly rangeId: RangeId;
  readonly reason: string;
}

export interface PlacementAdvice {
  readonly moves: readonly PlannedMove[];
  /** Ranges that the change cannot be carried out for. */
  readonly blocked: readonly BlockedRange[];
}

export interface PlacementAdvisor {
  /** Throws KvFailure 'unavailable' when no node that has a store answers. */
  advise(question: PlacementQuestion): Promise<PlacementAdvice>;
}
