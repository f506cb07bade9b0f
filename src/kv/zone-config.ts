/**
 * Zone configurations: how large the ranges of a span may grow, how many replicas they have and where these stand, how
 * long old versions live. SQL keeps them per object and looks them up by key (CONFIGURE ZONE); the range layer and the
 * allocator obey them. Variables, defaults and limits are CockroachDB's.
 */

/** `+region=west`, `-ssd`: a tier of the node's locality, or (without key) an attribute of its stores or itself. */
export interface Constraint {
  /** True: only places that match. False: only places that do not. */
  readonly isRequired: boolean;
  /** Undefined: an attribute. */
  readonly key: string | undefined;
  readonly value: string;
}

/** What constraints are about: the locality of a node, the attributes of a store and its node. */
export interface Place {
  readonly locality: readonly (readonly [tier: string, value: string])[];
  readonly attributes: readonly string[];
}

export function meetsConstraint(place: Place, { key, value, isRequired }: Constraint): boolean {
  const has =
    key === undefined
      ? place.attributes.includes(value)
      : place.locality.some(([tier, at]) => tier === key && at === value);
  return has === isRequired;
}

/** `+region=west`. */
export function constraintText({ isRequired, key, value }: Constraint): string {
  return `${isRequired ? '+' : '-'}${key === undefined ? '' : `${key}=`}${value}`;
}

/** As `+region=eu,-ssd`. */
export function constraintsText(constraints: readonly Constraint[]): string {
  return constraints.map(constraintText).join(',');
}

/** All of `constraints` hold for so many replicas. */
export interface ConstraintGroup {
  /** 0: for all of them. Groups with a number stand alone: none for all is beside them. */
  readonly replicas: number;
  readonly constraints: readonly Constraint[];
}

export interface ZoneConfig {
  readonly rangeMinBytes: number;
  readonly rangeMaxBytes: number;
  readonly gcTtlSeconds: number;
  /** Voters and non-voters together. */
  readonly numReplicas: number;
  /** Undefined: all replicas vote. The rest are non-voters: they have the data and no vote. */
  readonly numVoters: number | undefined;
  /** Of all replicas. */
  readonly constraints: readonly ConstraintGroup[];
  /** Of voters, on top of `constraints`. */
  readonly voterConstraints: readonly ConstraintGroup[];
  /** Where the lease should be: the first that some voter satisfies. */
  readonly leasePreferences: readonly (readonly Constraint[])[];
  readonly globalReads: boolean;
}

export const defaultZoneConfig: ZoneConfig = {
  rangeMinBytes: 128 << 20,
  rangeMaxBytes: 512 << 20,
  gcTtlSeconds: 14_400,
  numReplicas: 3,
  numVoters: undefined,
  constraints: [],
  voterConstraints: [],
  leasePreferences: [],
  globalReads: false,
};
