/**
 * The cluster as one simulated store sees it: what others published a while ago, its own counts, and what it has done
 * since those others counted. The shipped one is `range/queues/cluster-view.ts`.
 */
import {
  type PlacementAction,
  type RangePicture,
  type StorePicture,
} from '../../src/allocator/index.ts';
import { type StoreId } from '../../src/kv/index.ts';

/** What all stores said of themselves at one moment. */
export interface Published {
  readonly atS: number;
  readonly stores: readonly StorePicture[];
}

interface Adjustment {
  readonly storeId: StoreId;
  /** Counts taken before this do not have it in them; Infinity: it is not done yet. */
  until: number;
  readonly ranges: number;
  readonly leases: number;
  readonly qps: number;
}

/** A store that loses a replica learns of it later than the leaseholder. */
const removalS = 5;

export class SimulatedView {
  #adjustments: Adjustment[] = [];

  pictures(heard: Published, own: StorePicture): StorePicture[] {
    this.#adjustments = this.#adjustments.filter(({ until }) => heard.atS <= until);
    return heard.stores.map((each) => {
      const base = each.storeId === own.storeId ? own : each;
      let { rangeCount, leaseCount, qps } = base;
      for (const { storeId, ranges, leases, qps: more, until } of this.#adjustments) {
        // The own counts have everything in them that is done.
        if (storeId !== base.storeId || (base === own && until < Infinity)) continue;
        rangeCount += ranges;
        leaseCount += leases;
        qps += more;
      }
      return { ...base, rangeCount, leaseCount, qps };
    });
  }

  /** What is called when the action has ended, with the time. */
  expect(range: RangePicture, action: PlacementAction): (nowS: number) => void {
    const made: Adjustment[] = [];
    const change = (storeId: StoreId, ranges: number, leases: number, qps: number): void => {
      made.push({ storeId, until: Infinity, ranges, leases, qps });
    };
    switch (action.kind) {
      case 'add':
        change(action.target.storeId, 1, 0, 0);
        break;
      case 'remove':
        change(action.target.storeId, -1, 0, 0);
        break;
      case 'replace':
        change(action.add.storeId, 1, 0, 0);
        change(action.remove.storeId, -1, 0, 0);
        break;
      case 'transfer-lease':
        change(action.to, 0, 1, range.qps);
        change(range.leaseholder, 0, -1, -range.qps);
        break;
      default:
    }
    this.#adjustments.push(...made);
    return (nowS) => {
      for (const each of made) each.until = each.ranges < 0 ? nowS + removalS : nowS;
    };
  }
}
