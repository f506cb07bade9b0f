/**
 * What a change would lead to: the rules that would act on it are played through on a copy of the cluster, range by
 * range, until nothing is due any more. What remains to be done then is blocked, and the change is better refused.
 */
import {
  asStoreId,
  isPartOf,
  type BlockedRange,
  type Member,
  type PlacementAdvice,
  type PlannedMove,
  type ZoneConfig,
} from '../kv/index.ts';
import { apply, finished } from './apply.ts';
import { ClusterPicture } from './cluster-picture.ts';
import { decide, repairDue } from './decide.ts';
import { isAlive, isLost } from './store-state.ts';
import {
  type AllocatorSettings,
  type AllocatorTarget,
  type PlacementAction,
  type RangeOutline,
  type RangePicture,
  type StorePicture,
} from './types.ts';

/** `R`: whatever else `zoneOf` needs to know of a range. */
export interface ClusterState<R extends RangeOutline> {
  readonly stores: readonly StorePicture[];
  readonly ranges: Iterable<R>;
  readonly zoneOf: (range: R) => ZoneConfig;
  readonly settings: AllocatorSettings;
}

export type ClusterChange<R extends RangeOutline> =
  | {
      readonly kind: 'decommission';
      readonly members: readonly Member[];
      /** What needs a repair already is blocked, too. */
      readonly strict: boolean;
    }
  /** Ranges for which it gives the same configuration as before are left alone. */
  | { readonly kind: 'zones'; readonly zoneOf: (range: R) => ZoneConfig };

/** More steps than any range needs: each replica is moved, and changes its role, and the lease follows. */
const stepsPerReplica = 6;

export function whatIf<R extends RangeOutline>(
  state: ClusterState<R>,
  change: ClusterChange<R>,
): PlacementAdvice {
  const { stores, settings } = state;
  const members = change.kind === 'decommission' ? change.members : [];
  const isLeaving = (place: AllocatorTarget): boolean =>
    members.some((member) => isPartOf(place, member));
  const cluster = new ClusterPicture(
    stores.map((each) =>
      isLeaving(each) && !isLost(each) ? { ...each, status: 'decommissioning' } : each,
    ),
  );
  const before = new ClusterPicture(
    stores.map((each) =>
      isLeaving(each) && each.status === 'decommissioning' ? { ...each, status: 'live' } : each,
    ),
  );
  const isStrict = change.kind === 'decommission' && change.strict;
  const moves: PlannedMove[] = [];
  const blocked: BlockedRange[] = [];
  for (const outline of state.ranges) {
    const zone = state.zoneOf(outline);
    const wanted = change.kind === 'zones' ? change.zoneOf(outline) : zone;
    const isTouched = change.kind === 'zones' ? wanted !== zone : outline.replicas.some(isLeaving);
    if (!isTouched) continue;
    const due = isStrict
      ? repairDue(before, pictureOf(before, outline), zone, settings)
      : undefined;
    const { range, steps, problems } = play(cluster, settings, outline, wanted);
    moves.push(...movesOf(range, steps));
    const isLeft = range.replicas.some(isLeaving);
    const reasons = change.kind === 'zones' || isLeft ? problems : [];
    if (due !== undefined) reasons.unshift(`needs repair already: ${due}`);
    const unmeetable = cluster.rulesOf(wanted).unmeetable();
    if (change.kind === 'zones' && unmeetable !== undefined) {
      reasons.push(`constraint ${unmeetable} matches no live store`);
    }
    if (reasons.length > 0) blocked.push({ rangeId: range.rangeId, reason: reasons.join('; ') });
  }
  return { moves, blocked };
}

function play(
  cluster: ClusterPicture,
  settings: AllocatorSettings,
  outline: RangeOutline,
  zone: ZoneConfig,
): { range: RangePicture; steps: PlacementAction[]; problems: string[] } {
  let range = pictureOf(cluster, outline);
  const steps: PlacementAction[] = [];
  const stepsMax = stepsPerReplica * (outline.replicas.length + zone.numReplicas);
  while (steps.length < stepsMax) {
    const due = decide(cluster, range, zone, settings);
    switch (due.kind) {
      case 'none':
        return { range, steps, problems: [...due.blocked] };
      case 'unavailable':
        return { range, steps, problems: [`${due.live} of ${due.needed} voters needed are alive`] };
      case 'finish-change':
        range = finished(range);
        continue;
      default:
        range = apply(cluster, range, due);
        steps.push(due);
    }
  }
  return { range, steps, problems: ['its replicas do not come to rest'] };
}

/** Idle, and led by the first voter that is alive. */
function pictureOf(
  cluster: ClusterPicture,
  { rangeId, replicas, sizeBytes }: RangeOutline,
): RangePicture {
  const first = replicas.find((each) => each.kind === 'voter' && isAlive(cluster.storeOf(each)));
  const leaseholder = first?.storeId ?? asStoreId(0);
  return { rangeId, replicas, sizeBytes, leaseholder, qps: 0, balancing: 'none' };
}

/** A replica that is added and another one that is dropped are one that moves, in however many steps. */
function movesOf(
  { rangeId, sizeBytes }: RangePicture,
  steps: readonly PlacementAction[],
): PlannedMove[] {
  const moves: PlannedMove[] = [];
  for (const step of steps) {
    switch (step.kind) {
      case 'add': {
        const { role, target } = step;
        moves.push({ rangeId, role, from: undefined, to: target.storeId, bytes: sizeBytes });
        break;
      }
      case 'replace': {
        const { role, add, remove } = step;
        moves.push({ rangeId, role, from: remove.storeId, to: add.storeId, bytes: sizeBytes });
        break;
      }
      case 'remove': {
        const { role, target } = step;
        const from = target.storeId;
        const at = moves.findIndex((each) => each.from === undefined && each.role === role);
        const added = moves[at];
        if (added === undefined) moves.push({ rangeId, role, from, to: undefined, bytes: 0 });
        else moves[at] = { ...added, from };
        break;
      }
      default:
    }
  }
  return moves;
}
