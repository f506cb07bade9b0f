/** Zone configurations that cannot hold, refused with 22023 (one bad value) or 23514 (values that do not go together). */
import {
  constraintsText,
  constraintText,
  meetsConstraint,
  type Constraint,
  type ConstraintGroup,
  type Place,
} from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import { type FullZoneConfig, type ZoneConfig } from './zones.ts';

export const zoneLimits = {
  rangeMinBytes: 1_048_576,
  rangeMaxBytes: 5 * 1_048_576,
  gcTtlSeconds: 1,
};

/** `own` is what is set on the object, `full` the result with inheritance. Throws 22023, 23514. */
export function checkZone(own: ZoneConfig, full: FullZoneConfig): void {
  atLeast('range_max_bytes', full.rangeMaxBytes, zoneLimits.rangeMaxBytes);
  atLeast('range_min_bytes', full.rangeMinBytes, zoneLimits.rangeMinBytes);
  atLeast('gc.ttlseconds', full.gcTtlSeconds, zoneLimits.gcTtlSeconds);
  checkCount('num_replicas', full.numReplicas);
  if (full.numVoters !== undefined) checkCount('num_voters', full.numVoters);
  checkSizes(own, full);
  checkVoters(own, full);
  const voters = full.numVoters ?? full.numReplicas;
  checkGroups('constraints', full.constraints, 'num_replicas', full.numReplicas);
  checkGroups('voter_constraints', full.voterConstraints, 'num_voters', voters);
  needsCount('constraints', own.constraints, 'num_replicas', own.numReplicas);
  needsCount('voter_constraints', own.voterConstraints, 'num_voters', own.numVoters);
  const all = full.constraints.find(({ replicas }) => replicas === 0)?.constraints ?? [];
  for (const { constraints } of full.voterConstraints)
    refuseContradiction([...all, ...constraints]);
  full.leasePreferences.forEach(refuseContradiction);
}

/** Every required constraint of `config` must hold somewhere. Throws 23514. */
export function checkPlaces(config: ZoneConfig, places: readonly Place[]): void {
  const lists = [
    ...(config.constraints ?? []).map(({ constraints }) => constraints),
    ...(config.voterConstraints ?? []).map(({ constraints }) => constraints),
    ...(config.leasePreferences ?? []),
  ];
  for (const list of lists) {
    const required = list.filter(({ isRequired }) => isRequired);
    if (places.some((place) => required.every((each) => meetsConstraint(place, each)))) continue;
    const lone = required.find((each) => !places.some((place) => meetsConstraint(place, each)));
    const text = lone === undefined ? constraintsText(required) : constraintText(lone);
    throw sqlError('checkViolation', `no node of the cluster meets the constraint "${text}"`, {
      hint: 'SHOW NODES lists the localities of nodes.',
    });
  }
}

function atLeast(name: string, value: number, limit: number): void {
  if (value >= limit) return;
  throw sqlError('invalidParameterValue', `${name} must be at least ${limit}, not ${value}`);
}

function checkCount(name: string, value: number): void {
  atLeast(name, value, 1);
  if (value !== 2) return;
  throw sqlError('invalidParameterValue', `${name} must be 1 or at least 3, not 2`, {
    hint: 'Two replicas cannot agree when one of them is away.',
  });
}

function checkSizes(own: ZoneConfig, { rangeMinBytes, rangeMaxBytes }: FullZoneConfig): void {
  if (rangeMinBytes < rangeMaxBytes) return;
  const both = own.rangeMinBytes !== undefined && own.rangeMaxBytes !== undefined;
  throw sqlError(
    'checkViolation',
    `range_min_bytes (${rangeMinBytes}) must be smaller than range_max_bytes (${rangeMaxBytes})`,
    both ? {} : { hint: 'One of them is inherited: set both together.' },
  );
}

function checkVoters(own: ZoneConfig, { numVoters, numReplicas }: FullZoneConfig): void {
  if (numVoters === undefined || numVoters <= numReplicas) return;
  const both = own.numVoters !== undefined && own.numReplicas !== undefined;
  throw sqlError(
    'checkViolation',
    `num_voters (${numVoters}) must not be larger than num_replicas (${numReplicas})`,
    both ? {} : { hint: 'One of them is inherited: set both together.' },
  );
}

function checkGroups(
  name: string,
  groups: readonly ConstraintGroup[],
  countName: string,
  count: number,
): void {
  let demanded = 0;
  for (const { replicas, constraints } of groups) {
    refuseContradiction(constraints);
    demanded += replicas;
  }
  if (demanded <= count) return;
  throw sqlError(
    'checkViolation',
    `${name} are for ${demanded} replicas, more than ${countName} (${count})`,
  );
}

function needsCount(
  name: string,
  groups: readonly ConstraintGroup[] | undefined,
  countName: string,
  count: number | undefined,
): void {
  if (count !== undefined || groups?.some(({ replicas }) => replicas > 0) !== true) return;
  throw sqlError(
    'checkViolation',
    `${name} for numbers of replicas need ${countName} to be set with them`,
  );
}

/** No place could meet all of `constraints`. */
function refuseContradiction(constraints: readonly Constraint[]): void {
  for (const [at, one] of constraints.entries()) {
    const other = constraints.slice(at + 1).find((candidate) => {
      const isSame = candidate.value === one.value;
      if (candidate.key !== one.key) return false;
      if (candidate.isRequired !== one.isRequired) return isSame;
      // A node has one value for each tier of its locality.
      return one.isRequired && one.key !== undefined && !isSame;
    });
    if (other === undefined) continue;
    throw sqlError(
      'checkViolation',
      `the constraints "${constraintText(one)}" and "${constraintText(other)}" contradict each other`,
    );
  }
}
