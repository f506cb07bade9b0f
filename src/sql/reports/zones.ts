/**
 * In which zones a range is counted: those of its keys, or the nearest around them that say something about what is
 * reported. A table whose zone sets nothing but `gc.ttlseconds` counts in its database, and at last in RANGE default.
 */
import {
  constraintsText,
  type ConstraintViolation,
  type RangeDescriptor,
  type RangeZones,
  type ReportZone,
} from '../../kv/index.ts';
import {
  ownZone,
  zoneChain,
  zoneIds,
  zoneKey,
  zonesWithin,
  type CatalogSnapshot,
  type ZoneConfig,
  type ZoneId,
} from '../catalog/index.ts';

const placeFields = ['constraints', 'voterConstraints'] as const;
const replicationFields = ['numReplicas', 'numVoters', ...placeFields] as const;
const violationTypes = {
  constraints: 'constraint',
  voterConstraints: 'voter_constraint',
} as const satisfies Record<string, ConstraintViolation['type']>;

export function zonesOfRange(
  snapshot: CatalogSnapshot,
  { startKey, endKey }: Pick<RangeDescriptor, 'startKey' | 'endKey'>,
): RangeZones {
  const replication = new Map<string, ReportZone>();
  const constraints = new Map<string, RangeZones['constraints'][number]>();
  for (const zone of zonesWithin(snapshot, startKey, endKey)) {
    const holder = nearest(snapshot, zone, replicationFields) ?? zoneIds.default;
    replication.set(zoneKey(holder), reportZone(holder));
    for (const field of placeFields) {
      const demanding = nearest(snapshot, zone, [field]);
      if (demanding === undefined) continue;
      for (const group of ownZone(snapshot, demanding)?.[field] ?? []) {
        const type = violationTypes[field];
        const constraint = constraintsText(group.constraints);
        constraints.set(`${zoneKey(demanding)} ${type} ${constraint}`, {
          ...reportZone(demanding),
          type,
          constraint,
        });
      }
    }
  }
  return { replication: [...replication.values()], constraints: [...constraints.values()] };
}

/** The zone or the nearest around it that sets one of the fields. */
function nearest(
  snapshot: CatalogSnapshot,
  zone: ZoneId,
  fields: readonly (keyof ZoneConfig)[],
): ZoneId | undefined {
  return zoneChain(snapshot, zone).find((each) => {
    const own = ownZone(snapshot, each);
    return own !== undefined && fields.some((field) => own[field] !== undefined);
  });
}

function reportZone({ id, subId }: ZoneId): ReportZone {
  return { zoneId: id, subzoneId: subId };
}
