/** What a change of a range's descriptor means to those who keep a log of such changes. */
import {
  type CommitTrigger,
  type RangeDescriptor,
  type RangeEvent,
  type RangeEventKind,
  type ReplicaDescriptor,
} from '../../kv/index.ts';
import { unreachable } from '../../util/index.ts';

/** `before`: the range as it was. A move in two steps is told when it begins to hold, with the first one. */
export function eventsOf(trigger: CommitTrigger, before: RangeDescriptor): RangeEvent[] {
  switch (trigger.kind) {
    case 'split':
    case 'merge': {
      const { kind, left, right } = trigger;
      const info = { boundary: right.startKey.toString('hex') };
      return [{ kind, rangeId: left.rangeId, otherRangeId: right.rangeId, info }];
    }
    case 'change-replicas':
      return [
        ...changes(trigger.range, before, { voter: 'add_voter', 'non-voter': 'add_non_voter' }),
        ...changes(before, trigger.range, {
          voter: 'remove_voter',
          'non-voter': 'remove_non_voter',
        }),
      ];
    case 'compute-checksum':
    case 'hand-over':
      return [];
    default:
      return unreachable(trigger);
  }
}

/** Those that have a role in `range` that they have not in `other`. */
function changes(
  { rangeId, replicas }: RangeDescriptor,
  other: RangeDescriptor,
  kinds: Readonly<Record<'voter' | 'non-voter', RangeEventKind>>,
): RangeEvent[] {
  return replicas.flatMap((replica): RangeEvent[] => {
    const role = roleOf(replica);
    const same = other.replicas.find((each) => each.storeId === replica.storeId);
    if (role === undefined || (same !== undefined && roleOf(same) === role)) return [];
    const { nodeId, storeId } = replica;
    return [{ kind: kinds[role], rangeId, otherRangeId: undefined, info: { nodeId, storeId } }];
  });
}

function roleOf({ kind }: ReplicaDescriptor): 'voter' | 'non-voter' | undefined {
  switch (kind) {
    case 'voter':
    case 'voter-incoming':
      return 'voter';
    case 'non-voter':
    case 'voter-demoting':
      return 'non-voter';
    default:
      return undefined;
  }
}
