/** What operators do about where replicas are: ranges go to named stores, votes are given and taken, nodes leave for good. */
import { keyMax, keyMin } from '../../encoding/index.ts';
import {
  isPartOf,
  memberName,
  type Member as LeavingMember,
  type Membership,
} from '../../kv/index.ts';
import { sleep } from '../../util/index.ts';
import { type ServingNode } from '../cluster.ts';
import {
  freeStores,
  membersOfRange,
  rangeOf,
  ranges,
  type Member,
  type ServingStore,
} from '../picture.ts';
import { magnitude, oneMachine, shuffledMachines } from './draws.ts';
import { faultClass, type Target } from './fault.ts';
import { storeOf } from './ranges.ts';

const lookMs = 200;

export const placement = {
  /** A range goes to stores drawn at random, whatever it has there; now and then to a single one, or to all. */
  relocate: faultClass({
    weight: 5,
    draw: (random, scene) => ({
      key: random.float(),
      through: random.float(),
      order: shuffledMachines(random, scene),
      voters: random.pick([1, 2, 3, 3, 3, 3, 3, 5]),
      nonVoters: random.pick([0, 0, 1, 2]),
      lease: random.chance(0.5),
      store: random.float(),
    }),
    inject(target, { key, through, order, voters, nonVoters, lease, store: place }) {
      const free = freeStores(target.cluster, [], place);
      const stores = order
        .flatMap((index) => free.filter((each) => each.index === index))
        .map(({ store }) => store.storeId);
      const to = {
        voters: stores.slice(0, voters),
        nonVoters: stores.slice(voters, voters + nonVoters),
        ...(lease && stores[0] !== undefined ? { leaseholder: stores[0] } : {}),
      };
      const what = `relocate to ${to.voters.join(',')}|${to.nonVoters.join(',')}`;
      void target.operate(what, through, (node) => node.db.relocateRange(target.keyAt(key), to));
    },
  }),

  /** A non-voter comes, goes, gets a vote, or changes places with a voter. */
  'non-voter': faultClass({
    weight: 6,
    draw: (random) => ({
      key: random.float(),
      through: random.float(),
      who: random.float(),
      how: random.pick(['add', 'add', 'remove', 'promote', 'demote', 'swap', 'swap'] as const),
      store: random.float(),
    }),
    inject(target, { key, through, who, how, store: place }) {
      const range = rangeOf(target.cluster, target.keyAt(key));
      if (range === undefined) return;
      const members = membersOfRange(target.cluster, range);
      // Who takes a vote away while a store is lost may take the last but one.
      const isWhole = members.length === range.replicas.length;
      const kindOf = ({ store }: Member): string | undefined =>
        range.replicas.find(({ storeId }) => storeId === store.storeId)?.kind;
      const pick = <T>(from: readonly T[]): T | undefined => from[Math.floor(who * from.length)];
      const voter = pick(members.filter((member) => kindOf(member) === 'voter'));
      const nonVoter = pick(members.filter((member) => kindOf(member) === 'non-voter'));
      const other = pick(freeStores(target.cluster, members, place));
      const as = (role: 'voter' | 'non-voter', member: ServingStore | undefined) =>
        member === undefined ? [] : [{ ...storeOf(member), role }];
      const add = {
        add: as('non-voter', other),
        remove: [],
        promote: as('voter', nonVoter),
        demote: isWhole ? as('non-voter', voter) : [],
        swap: nonVoter === undefined ? [] : [...as('voter', nonVoter), ...as('non-voter', voter)],
      }[how];
      const change = { add, remove: how === 'remove' ? as('non-voter', nonVoter) : [] };
      if (change.add.length + change.remove.length === 0) return;
      void target.operate(`non-voter (${how})`, through, (node) =>
        node.db.changeReplicas(range.startKey, change),
      );
    },
  }),

  scatter: faultClass({
    weight: 2,
    draw: (random) => ({ through: random.float() }),
    inject(target, { through }) {
      void target.operate('scatter', through, (node) => node.db.scatter(keyMin, keyMax));
    },
  }),

  /**
   * A node is to leave, or one store of a node with several. When it holds nothing any more it has left for good, or it is
   * needed after all: sometimes before.
   */
  decommission: faultClass({
    weight: 3,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      through: random.float(),
      isFinal: random.chance(0.6),
      durationMs: magnitude(random, 500, 40_000),
    }),
    inject(target, { machine, through, isFinal, durationMs }) {
      const leaving = target.cluster.serving().find(({ index }) => index === machine);
      if (leaving === undefined) return;
      target.run('decommission', () =>
        decommission(target, leaving, { through, isFinal, durationMs }),
      );
    },
  }),
};

async function decommission(
  target: Target,
  { index, node }: ServingNode,
  how: { readonly through: number; readonly isFinal: boolean; readonly durationMs: number },
): Promise<void> {
  const { world, cluster } = target;
  const last = node.stores.length > 1 ? node.stores.at(-1) : undefined;
  const leaving: LeavingMember =
    last === undefined ? { kind: 'node', id: node.nodeId } : { kind: 'store', id: last.storeId };
  const become = (membership: Membership): Promise<boolean> =>
    target.operate(
      `${memberName(leaving)} (m${index + 1}) becomes ${membership}`,
      how.through,
      (through) => through.db.setMembership(leaving, membership),
    );
  if (!(await become('decommissioning'))) return;
  const untilMs = world.nowMs + how.durationMs;
  const isEmpty = (): boolean =>
    ranges(cluster).every(({ replicas }) => !replicas.some((each) => isPartOf(each, leaving)));
  while (world.nowMs < untilMs && !target.isOver) {
    await sleep(world, lookMs);
    if (isEmpty() && how.isFinal && (await become('decommissioned'))) return;
  }
  if (!target.isOver) await become('active');
}
