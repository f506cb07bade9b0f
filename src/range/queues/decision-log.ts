/** What the allocator decided for ranges of this store lately, and what became of it. */
import { type AllocatorAction, type RangePicture } from '../../allocator/index.ts';
import { type AllocatorDecision, type StoreId } from '../../kv/index.ts';
import { unreachable, type Clock } from '../../util/index.ts';
import { Recent } from './recent.ts';

const decisionsMax = 500;

export class DecisionLog {
  readonly #storeId: StoreId;
  readonly #clock: Clock;
  /** What is decided again takes the place of what it repeats. */
  readonly #recent = new Recent<AllocatorDecision>(decisionsMax);

  constructor(storeId: StoreId, clock: Clock) {
    this.#storeId = storeId;
    this.#clock = clock;
  }

  note({ rangeId }: RangePicture, action: AllocatorAction, outcome: string): void {
    const what = describeAction(action);
    this.#recent.add(`${rangeId} ${what}`, {
      at: this.#clock.wallMicros(),
      rangeId,
      storeId: this.#storeId,
      action: what,
      reason: reasonOf(action),
      considered: consideredIn(action),
      outcome,
    });
  }

  list(): AllocatorDecision[] {
    return this.#recent.list();
  }
}

export function describeAction(action: AllocatorAction): string {
  switch (action.kind) {
    case 'none':
    case 'unavailable':
      return 'none';
    case 'finish-change':
      return 'finish the change under way';
    case 'add':
      return `add ${action.role} on s${action.target.storeId}`;
    case 'remove':
      return `remove ${action.role} from s${action.target.storeId}`;
    case 'replace':
      return `move ${action.role} from s${action.remove.storeId} to s${action.add.storeId}`;
    case 'promote':
      return `promote s${action.target.storeId}`;
    case 'demote':
      return `demote s${action.target.storeId}`;
    case 'swap':
      return `promote s${action.promote.storeId}, demote s${action.demote.storeId}`;
    case 'transfer-lease':
      return `lease to s${action.to}`;
    default:
      return unreachable(action);
  }
}

function reasonOf(action: AllocatorAction): string {
  switch (action.kind) {
    case 'none':
      return action.blocked.join('; ');
    case 'unavailable':
      return `${action.live} voters are alive, ${action.needed} are needed`;
    case 'finish-change':
      return 'it was left half-way';
    default:
      return action.reason;
  }
}

function consideredIn(action: AllocatorAction): string {
  if (!('considered' in action)) return '';
  return action.considered.map(({ storeId, verdict }) => `s${storeId}: ${verdict}`).join('; ');
}
