/** What operators and the allocator do with ranges while the load goes on; alone, and right before a crash. */
import { type NodeId, type StoreId } from '../../kv/index.ts';
import { sleep } from '../../util/index.ts';
import {
  freeStores,
  membersOfRange,
  rangeOf,
  storesBeside,
  storesOf,
  type ServingStore,
} from '../picture.ts';
import { downTime, oneMachine, someMachines } from './draws.ts';
import { faultClass } from './fault.ts';
import { crashFor } from './processes.ts';

export function storeOf({ node, store }: ServingStore): { nodeId: NodeId; storeId: StoreId } {
  return { nodeId: node.nodeId, storeId: store.storeId };
}

export const rangeOperations = {
  split: faultClass({
    weight: 8,
    draw: (random) => ({ key: random.float(), through: random.float() }),
    inject(target, { key, through }) {
      void target.operate('split', through, (node) => node.db.split(target.keyAt(key)));
    },
  }),

  /** Machines go down when a split has been applied at the leaseholder, and is just being applied elsewhere. */
  'split-crash': faultClass({
    weight: 5,
    draw(random, scene) {
      const machines = someMachines(random, scene);
      return {
        key: random.float(),
        through: random.float(),
        machines,
        how: random.chance(0.7) ? ('power' as const) : ('process' as const),
        afterMs: random.chance(0.3) ? 0 : random.float() * 40,
        downMs: machines.map(() => downTime(random)),
      };
    },
    inject(target, { key, through, machines, how, afterMs, downMs }) {
      target.run('split and crash', async () => {
        if (!(await target.operate('split', through, (node) => node.db.split(target.keyAt(key)))))
          return;
        await sleep(target.world, afterMs);
        if (target.isOver) return;
        for (const [i, machine] of machines.entries())
          crashFor(target, machine, how, downMs[i] ?? 0);
      });
    },
  }),

  transfer: faultClass({
    weight: 8,
    draw: (random, scene) => ({
      key: random.float(),
      machine: oneMachine(random, scene),
      through: random.float(),
    }),
    inject(target, { key, machine, through }) {
      const { cluster } = target;
      const at = target.keyAt(key);
      const range = rangeOf(cluster, at);
      const isThere = ({ index }: ServingStore): boolean => index === machine;
      const member = range && membersOfRange(cluster, range).find(isThere);
      const to = member ?? storesOf(cluster).find(isThere);
      if (to === undefined) return;
      void target.operate(`transfer to ${to.name}`, through, (node) =>
        node.db.transferLease(at, to.store.storeId),
      );
    },
  }),

  /** One replica of a range, or two at once, go to other machines; or one to another store of its machine. */
  move: faultClass({
    weight: 6,
    draw: (random) => ({
      key: random.float(),
      through: random.float(),
      count: random.between(1, 2),
      who: random.float(),
      store: random.float(),
      isWithin: random.chance(0.3),
    }),
    inject(target, { key, through, count, who, store, isWithin }) {
      const { cluster } = target;
      const range = rangeOf(cluster, target.keyAt(key));
      if (range === undefined) return;
      const members = membersOfRange(cluster, range);
      const first = Math.floor(who * members.length);
      const [mover] = members.slice(first);
      const within = isWithin ? storesBeside(cluster, mover) : [];
      const others = within.length > 0 ? within : freeStores(cluster, members, store);
      const leaving = [...members.slice(first), ...members.slice(0, first)].slice(
        0,
        within.length > 0 ? 1 : Math.min(count, others.length),
      );
      if (leaving.length === 0) return;
      const change = {
        add: others.slice(0, leaving.length).map(storeOf),
        remove: leaving.map(storeOf),
      };
      void target.operate('move', through, (node) =>
        node.db.changeReplicas(range.startKey, change),
      );
    },
  }),
};
