/**
 * Faults made of several parts that meet at a seam: a leaseholder, a fresh leader, a change of members. They are
 * what plain chance comes to too seldom.
 */
import { sleep } from '../../util/index.ts';
import { linksBetween } from '../links.ts';
import { freeStores, leaseholderOf, membersOfRange, rangeOf, replicasOf } from '../picture.ts';
import { offsetMaxMs } from './clocks.ts';
import { downTime, magnitude } from './draws.ts';
import { faultClass, type Target } from './fault.ts';
import { cutFor } from './network.ts';
import { crashFor } from './processes.ts';
import { storeOf } from './ranges.ts';
import { waitFor } from './waiting.ts';

function allBut({ cluster }: Target, machine: number): number[] {
  return Array.from({ length: cluster.size }, (_, i) => i).filter((i) => i !== machine);
}

export const seams = {
  /** The leaseholder of a key loses the others, in both directions or in one. */
  'cut-leaseholder': faultClass({
    weight: 6,
    draw: (random) => ({
      key: random.float(),
      way: random.pick(['both', 'out', 'in'] as const),
      durationMs: magnitude(random, 300, 15_000),
    }),
    inject(target, { key, way, durationMs }) {
      const holder = leaseholderOf(target.cluster, target.keyAt(key))?.index;
      if (holder === undefined) return;
      target.world.story(`m${holder + 1} holds the lease and is cut off (${way})`);
      const others = allBut(target, holder);
      const links =
        way === 'in'
          ? linksBetween(others, [holder], 'one-way')
          : linksBetween([holder], others, way === 'both' ? 'both' : 'one-way');
      cutFor(target, links, durationMs);
    },
  }),

  /** It is cut off while all others restart: it still serves what they promised before. */
  strand: faultClass({
    weight: 5,
    draw: (random) => ({
      key: random.float(),
      how: random.chance(0.6) ? ('process' as const) : ('power' as const),
      downMs: 20 + random.float() * 400,
      durationMs: 500 + random.float() * 8_000,
    }),
    inject(target, { key, how, downMs, durationMs }) {
      const holder = leaseholderOf(target.cluster, target.keyAt(key))?.index;
      if (holder === undefined) return;
      const others = allBut(target, holder);
      target.world.story(`m${holder + 1} holds the lease and is stranded`);
      cutFor(target, linksBetween([holder], others), durationMs);
      for (const machine of others) crashFor(target, machine, how, downMs);
    },
  }),

  /**
   * The leaseholder dies; as soon as somebody has won the election, the winner is cut off and those who may have
   * voted for it lose power: what they have promised by their votes must be on their disks.
   */
  'strand-winner': faultClass({
    weight: 6,
    draw: (random) => ({
      key: random.float(),
      afterMs: random.chance(0.5) ? 0 : random.float() * 20,
      downMs: 20 + random.float() * 400,
      durationMs: 6_000 + random.float() * 12_000,
    }),
    inject(target, { key, afterMs, downMs, durationMs }) {
      const { cluster, world } = target;
      const holder = leaseholderOf(cluster, target.keyAt(key));
      // Whoever is away already would know nothing of it.
      if (holder === undefined || cluster.serving().length < cluster.size) return;
      const { rangeId } = holder.replica;
      const { term } = holder.replica.raft;
      // It has not heard of the new term when it comes back.
      cluster.crash(holder.index, 'process');
      target.run('strand the winner', async () => {
        const winner = (): number | undefined =>
          replicasOf(cluster, rangeId).find(
            ({ replica }) => replica.raft.role === 'leader' && replica.raft.term > term,
          )?.index;
        await waitFor(target, 20_000, () => winner() !== undefined);
        await sleep(world, afterMs);
        target.after(downMs, () => cluster.start(holder.index));
        const won = winner();
        if (won === undefined || target.isOver) return;
        world.story(`m${won + 1} leads r${rangeId} and is stranded`);
        cutFor(target, linksBetween([won], allBut(target, won)), durationMs);
        for (const machine of allBut(target, won)) crashFor(target, machine, 'power', downMs);
      });
    },
  }),

  /**
   * Who was ordered to take over a lease stalls as it stands for election, so the old leader stands in the same term
   * and wins. It is cut off at once, its voter loses power, and the other goes on: the voter must not vote twice.
   */
  'late-heir': faultClass({
    weight: 4,
    draw: (random) => ({
      key: random.float(),
      through: random.float(),
      heir: random.float(),
      downMs: 20 + random.float() * 400,
      durationMs: 10_000 + random.float() * 10_000,
    }),
    inject(target, { key, through, heir, downMs, durationMs }) {
      const { cluster, world } = target;
      const range = rangeOf(cluster, target.keyAt(key));
      const holder = leaseholderOf(cluster, target.keyAt(key));
      if (range === undefined || holder === undefined) return;
      const rest = membersOfRange(cluster, range).filter(({ index }) => index !== holder.index);
      const late = rest[Math.floor(heir * rest.length)];
      const voters = rest.filter((member) => member !== late);
      if (late === undefined || voters.length === 0) return;
      const { term } = holder.replica.raft;
      const stands = (): boolean =>
        late.replica.raft.role === 'candidate' && late.replica.raft.term === term + 1;
      void target.operate('transfer', through, (node) =>
        node.db.transferLease(range.startKey, late.store.storeId),
      );
      target.run('a late heir', async () => {
        if (!(await waitFor(target, 5_000, stands))) return;
        // Its request for votes waits for its disk.
        cluster.pause(late.index, durationMs);
        cutFor(target, linksBetween([holder.index], [late.index]), durationMs);
        const { raft } = holder.replica;
        const won = (): boolean => raft.role === 'leader' && raft.term === term + 1;
        if (!(await waitFor(target, 5_000, won))) return;
        world.story(`m${holder.index + 1} leads r${range.rangeId} again and is cut off`);
        cutFor(target, linksBetween([holder.index], allBut(target, holder.index)), durationMs);
        for (const { index } of voters) crashFor(target, index, 'power', downMs);
        const isBack = (): boolean =>
          cluster.serving().some(({ index }) => voters.some((voter) => voter.index === index));
        await waitFor(target, durationMs, isBack);
        cluster.pause(late.index, 0);
      });
    },
  }),

  /**
   * The leaseholder's clock is as far behind all others as clocks may be. It stalls and is cut off until, by its own
   * clock, its lease is all but over: the others have long chosen a leaseholder among themselves.
   */
  'late-leaseholder': faultClass({
    weight: 4,
    draw: (random) => ({
      key: random.float(),
      /** What is left of its lease when it goes on. */
      restMs: 20 + random.float() * 200,
    }),
    inject(target, { key, restMs }) {
      const { cluster, world } = target;
      const holder = leaseholderOf(cluster, target.keyAt(key));
      if (holder === undefined) return;
      const { index, node, replica } = holder;
      const others = allBut(target, index);
      for (const machine of others) {
        cluster.setClock(machine, { offsetMs: offsetMaxMs, driftPpm: 0 });
      }
      cluster.setClock(index, { offsetMs: -offsetMaxMs, driftPpm: 0 });
      const leftMs = (replica.lease.expiration() - node.clock.physicalMicros()) / 1_000;
      if (leftMs <= restMs) return;
      world.story(`m${index + 1} holds the lease, its clock is late, and it is cut off`);
      cutFor(target, linksBetween([index], others), leftMs + 1_000);
      cluster.pause(index, leftMs - restMs);
    },
  }),

  /**
   * A replica of a range moves while another member is cut off from all that take part, but not from the one that
   * leaves: once that one is gone, the two must not make a majority of what the range was before.
   */
  'move-behind': faultClass({
    weight: 6,
    draw: (random) => ({
      key: random.float(),
      leaves: random.float(),
      through: random.float(),
      beforeMs: random.chance(0.5) ? 0 : random.float() * 3_000,
      durationMs: 6_000 + random.float() * 15_000,
      store: random.float(),
    }),
    inject(target, { key, leaves, through, beforeMs, durationMs, store }) {
      const { cluster, world } = target;
      const range = rangeOf(cluster, target.keyAt(key));
      const holder = leaseholderOf(cluster, target.keyAt(key));
      if (range === undefined || holder === undefined) return;
      const members = membersOfRange(cluster, range);
      const rest = members.filter(({ index }) => index !== holder.index);
      const [heir] = freeStores(cluster, members, store);
      const leaving = rest[Math.floor(leaves * rest.length)];
      const behind = rest.find((member) => member !== leaving);
      if (leaving === undefined || behind === undefined || heir === undefined) return;
      world.story(
        `r${range.rangeId} moves from m${leaving.index + 1} to m${heir.index + 1} behind the back of m${behind.index + 1}`,
      );
      const far = allBut(target, behind.index).filter((index) => index !== leaving.index);
      cutFor(target, linksBetween([behind.index], far), durationMs);
      target.run('move behind its back', async () => {
        await sleep(world, beforeMs);
        const change = { add: [storeOf(heir)], remove: [storeOf(leaving)] };
        await target.operate('move', through, (node) =>
          node.db.changeReplicas(range.startKey, change),
        );
      });
    },
  }),

  /**
   * Two replicas of a range move at once, and when its leader's configuration changes those that stay, those that
   * leave and those that come lose each other.
   */
  'move-cut': faultClass({
    weight: 6,
    draw: (random) => ({
      key: random.float(),
      through: random.float(),
      /** How often the leader's configuration has changed: learners, joint, final. */
      changes: random.between(1, 3),
      far: random.pick(['stay', 'leave', 'come', 'all'] as const),
      afterMs: random.chance(0.5) ? 0 : random.float() * 100,
      durationMs: magnitude(random, 1_000, 20_000),
      crash: random.chance(0.3),
      downMs: downTime(random),
      store: random.float(),
    }),
    inject(target, { key, through, changes, far, afterMs, durationMs, crash, downMs, store }) {
      const { cluster, world } = target;
      const at = target.keyAt(key);
      const range = rangeOf(cluster, at);
      const holder = leaseholderOf(cluster, at);
      if (range === undefined || holder === undefined) return;
      const members = membersOfRange(cluster, range);
      const others = freeStores(cluster, members, store);
      const leaving = members
        .filter((member) => member.index !== holder.index)
        .slice(0, others.length);
      const coming = others.slice(0, leaving.length);
      if (leaving.length === 0) return;
      const change = { add: coming.map(storeOf), remove: leaving.map(storeOf) };
      void target.operate('move', through, (node) =>
        node.db.changeReplicas(range.startKey, change),
      );
      target.run('cut a move', async () => {
        let seen = 0;
        let last = holder.replica.raft.configuration;
        const changed = (): boolean => {
          const now = holder.replica.raft.configuration;
          if (now !== last) seen++;
          last = now;
          return seen >= changes;
        };
        if (!(await waitFor(target, 15_000, changed))) return;
        await sleep(world, afterMs);
        if (target.isOver) return;
        const leave = leaving.map(({ index }) => index);
        const come = coming.map(({ index }) => index);
        const stay = allBut(target, -1).filter((i) => !leave.includes(i) && !come.includes(i));
        world.story(`r${range.rangeId} moves; ${far} cut off`);
        const groups = { stay, leave, come };
        const cutOff = far === 'all' ? (['stay', 'leave', 'come'] as const) : [far];
        for (const name of cutOff) {
          const rest = allBut(target, -1).filter((i) => !groups[name].includes(i));
          cutFor(target, linksBetween(groups[name], rest), durationMs);
        }
        if (crash) crashFor(target, holder.index, 'power', downMs);
      });
    },
  }),
};
