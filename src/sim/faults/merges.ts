/**
 * Merges of ranges while the load goes on; alone, and with something that happens in the middle: once the right side is
 * frozen, once the commit is on its way to the followers, once the first replica has absorbed the right side.
 */
import { addMicros, type RangeDescriptor } from '../../kv/index.ts';
import { linksBetween } from '../links.ts';
import { leaseholderOf, rangeOf, replicasOf } from '../picture.ts';
import { downTime, magnitude, someMachines } from './draws.ts';
import { faultClass, type Target } from './fault.ts';
import { cutFor } from './network.ts';
import { crashFor } from './processes.ts';
import { waitFor } from './waiting.ts';

const phases = ['frozen', 'proposed', 'absorbed'] as const;
type Phase = (typeof phases)[number];

/** How long a fault waits for a phase to come. */
const phaseLimitMs = 15_000;

interface Sides {
  readonly left: RangeDescriptor;
  readonly right: RangeDescriptor;
}

/** The range of a key and its right neighbour (of the last range: its left one). */
function sidesAt(target: Target, place: number): Sides | undefined {
  const { cluster } = target;
  const range = rangeOf(cluster, target.keyAt(place));
  if (range === undefined) return undefined;
  const right = rangeOf(cluster, range.endKey);
  if (right !== undefined) return { left: range, right };
  const left = replicasOf(cluster)
    .map(({ replica }) => replica.descriptor)
    .find(({ endKey }) => endKey.equals(range.startKey));
  return left && { left, right: range };
}

/** Brings both sides to the same stores, then merges them. */
async function merge(target: Target, { left, right }: Sides, through: number): Promise<boolean> {
  const voters = left.replicas.map(({ storeId }) => storeId);
  const areThere = await target.operate(`align r${right.rangeId}`, through, (node) =>
    node.db.relocateRange(right.startKey, { voters, nonVoters: [] }),
  );
  if (!areThere || target.isOver) return false;
  return target.operate(`merge r${left.rangeId} and r${right.rangeId}`, through, (node) =>
    node.db.mergeRight(left.startKey),
  );
}

function isIn(target: Target, { left, right }: Sides, phase: Phase): boolean {
  const { cluster } = target;
  switch (phase) {
    case 'frozen':
      return replicasOf(cluster, right.rangeId).some(({ replica }) => replica.mergeWatch.isFrozen);
    case 'proposed':
      return replicasOf(cluster, left.rangeId).some(({ replica }) =>
        replica.proposals.commands().some(({ trigger }) => trigger?.kind === 'merge'),
      );
    case 'absorbed':
      return replicasOf(cluster, left.rangeId).some(
        ({ replica: { descriptor } }) => !descriptor.endKey.equals(left.endKey),
      );
  }
}

/** Begins a merge and does something in the middle of it. */
function inTheMiddle(
  target: Target,
  how: { readonly sides: Sides; readonly through: number; readonly phase: Phase },
  then: () => void,
): void {
  const { sides, through, phase } = how;
  target.run('a merge', async () => {
    await merge(target, sides, through);
  });
  target.run(`a merge that is ${phase}`, async () => {
    if (await waitFor(target, phaseLimitMs, () => isIn(target, sides, phase))) then();
  });
}

export const merges = {
  merge: faultClass({
    weight: 8,
    draw: (random) => ({ key: random.float(), through: random.float() }),
    inject(target, { key, through }) {
      const sides = sidesAt(target, key);
      if (sides === undefined) return;
      target.run('a merge', async () => {
        await merge(target, sides, through);
      });
    },
  }),

  'merge-crash': faultClass({
    weight: 6,
    draw(random, scene) {
      const machines = someMachines(random, scene);
      return {
        key: random.float(),
        through: random.float(),
        phase: random.pick(phases),
        /** Besides `machines`. */
        who: random.pick(['left', 'right', 'nobody'] as const),
        machines,
        how: random.chance(0.6) ? ('power' as const) : ('process' as const),
        afterMs: random.chance(0.4) ? 0 : magnitude(random, 1, 300),
        downMs: machines.map(() => downTime(random)),
      };
    },
    inject(target, { key, through, phase, who, machines, how, afterMs, downMs }) {
      const { cluster } = target;
      const sides = sidesAt(target, key);
      if (sides === undefined) return;
      const at = who === 'right' ? sides.right.startKey : sides.left.startKey;
      const holder = who === 'nobody' ? undefined : leaseholderOf(cluster, at)?.index;
      inTheMiddle(target, { sides, through, phase }, () => {
        target.after(afterMs, () => {
          for (const [i, machine] of machines.entries())
            crashFor(target, i === 0 ? (holder ?? machine) : machine, how, downMs[i] ?? 0);
        });
      });
    },
  }),

  /** The leaseholder of one side loses the others while the merge is undecided: somebody else is elected. */
  'merge-cut': faultClass({
    weight: 6,
    draw: (random) => ({
      key: random.float(),
      through: random.float(),
      phase: random.pick(phases),
      who: random.pick(['left', 'right', 'both'] as const),
      way: random.pick(['both', 'out', 'in'] as const),
      afterMs: random.chance(0.5) ? 0 : magnitude(random, 1, 300),
      durationMs: magnitude(random, 500, 10_000),
    }),
    inject(target, { key, through, phase, who, way, afterMs, durationMs }) {
      const { cluster } = target;
      const sides = sidesAt(target, key);
      if (sides === undefined) return;
      const chosen = [
        ...(who === 'right' ? [] : [sides.left]),
        ...(who === 'left' ? [] : [sides.right]),
      ];
      const holders = new Set(
        chosen.flatMap(({ startKey }) => leaseholderOf(cluster, startKey)?.index ?? []),
      );
      inTheMiddle(target, { sides, through, phase }, () => {
        target.after(afterMs, () => {
          for (const holder of holders) {
            const others = Array.from({ length: cluster.size }, (_, i) => i).filter(
              (i) => i !== holder,
            );
            const links =
              way === 'in'
                ? linksBetween(others, [holder], 'one-way')
                : linksBetween([holder], others, way === 'both' ? 'both' : 'one-way');
            cutFor(target, links, durationMs);
          }
        });
      });
    },
  }),

  /** A split whose sides are to stay apart, until somebody says that they need not. */
  unsplit: faultClass({
    weight: 4,
    draw: (random) => ({
      key: random.float(),
      through: random.float(),
      apartMs: magnitude(random, 500, 20_000),
    }),
    inject(target, { key, through, apartMs }) {
      const at = target.keyAt(key);
      target.run('a sticky split', async () => {
        const isSplit = await target.operate('split for a while', through, (node) =>
          node.db.split(at, { expiration: addMicros(node.clock.now(), 2 * apartMs * 1000) }),
        );
        if (!isSplit) return;
        target.after(apartMs, () => {
          void target.operate('unsplit', through, (node) => node.db.unsplit(at));
        });
      });
    },
  }),
};
