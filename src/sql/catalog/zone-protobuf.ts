/**
 * Zone configurations in the protobuf encoding that CockroachDB and KWDB use (`config/zonepb/zone.proto`), for tools that
 * read `raw_config_protobuf`. Partitions and indexes are objects of their own here, so there are no subzones inside.
 *
 *     ZoneConfig       2 range_min_bytes, 3 range_max_bytes, 4 gc { 1 ttl_seconds }, 5 num_replicas, 6 constraints,
 *                      9 lease_preferences { 1 constraints }, 10 inherited_constraints, 11 inherited_lease_preferences,
 *                      12 global_reads, 13 num_voters, 14 voter_constraints, 15 null_voter_constraints_is_empty
 *     a group          6 constraints, 7 num_replicas
 *     Constraint       1 type (1 required, 2 prohibited), 2 key, 3 value
 */
import { type Constraint, type ConstraintGroup } from '../../kv/index.ts';
import { type ZoneConfig } from './zones.ts';

export function zoneProtobuf(config: ZoneConfig): Buffer {
  const { constraints, voterConstraints, leasePreferences, gcTtlSeconds } = config;
  return Buffer.concat([
    optional(2, config.rangeMinBytes),
    optional(3, config.rangeMaxBytes),
    gcTtlSeconds === undefined ? none : message(4, varintField(1, gcTtlSeconds)),
    optional(5, config.numReplicas),
    ...(constraints ?? []).map((group) => message(6, constraintGroup(group))),
    ...(leasePreferences ?? []).map((list) =>
      message(9, Buffer.concat(list.map((each) => message(1, constraint(each))))),
    ),
    varintField(10, Number(constraints === undefined)),
    varintField(11, Number(leasePreferences === undefined)),
    config.globalReads === undefined ? none : varintField(12, Number(config.globalReads)),
    optional(13, config.numVoters),
    ...(voterConstraints ?? []).map((group) => message(14, constraintGroup(group))),
    varintField(15, Number(voterConstraints?.length === 0)),
  ]);
}

const none = Buffer.alloc(0);

function constraintGroup({ replicas, constraints }: ConstraintGroup): Buffer {
  const list = constraints.map((each) => message(6, constraint(each)));
  return Buffer.concat([...list, varintField(7, replicas)]);
}

function constraint({ isRequired, key, value }: Constraint): Buffer {
  return Buffer.concat([
    varintField(1, isRequired ? 1 : 2),
    message(2, Buffer.from(key ?? '')),
    message(3, Buffer.from(value)),
  ]);
}

function optional(field: number, value: number | undefined): Buffer {
  return value === undefined ? none : varintField(field, value);
}

function varintField(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)]);
}

/** A field of bytes: a message or a string. */
function message(field: number, body: Buffer): Buffer {
  return Buffer.concat([varint(field * 8 + 2), varint(body.length), body]);
}

/** Seven bits at a time, the lowest first. Values here are not negative and below 2^53. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) + 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return Buffer.from([...bytes, rest]);
}
