/**
 * Disks are full, fail, are slow, hang, hold something else than was written, or are replaced by empty ones.
 *
 * INVARIANT: a store is lost or damaged only while every range has all its replicas and no other one is away
 *   (`mayLose`): never the majority of the copies of anything.
 */
import { isChanging } from '../../kv/index.ts';
import { type MemoryDisk } from '../memory-disk.ts';
import { membersOfRange, ranges } from '../picture.ts';
import { type SimCluster } from '../cluster.ts';
import { downTime, magnitude, oneMachine } from './draws.ts';
import { faultClass } from './fault.ts';

export const disks = {
  /** There is room again after a while. */
  'disk-full': faultClass({
    weight: 4,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      roomBytes: magnitude(random, 1, 20_000),
      durationMs: magnitude(random, 500, 20_000),
      downMs: downTime(random),
      store: random.float(),
    }),
    inject({ cluster }, { machine, store, roomBytes, ...trouble }) {
      cluster.storeOf(machine, store).disk.fill(roomBytes, trouble);
    },
  }),

  /** One operation fails, or all from some time on. */
  'disk-error': faultClass({
    weight: 4,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      sticky: random.chance(0.5),
      downMs: downTime(random),
      store: random.float(),
    }),
    inject({ cluster }, { machine, store, sticky, downMs }) {
      if (cluster.isUp(machine)) cluster.storeOf(machine, store).disk.failWrites(sticky, downMs);
    },
  }),

  'disk-slow': faultClass({
    weight: 4,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      factor: magnitude(random, 2, 50),
      durationMs: magnitude(random, 500, 15_000),
      downMs: downTime(random),
      store: random.float(),
    }),
    inject({ cluster }, { machine, store, factor, ...trouble }) {
      cluster.storeOf(machine, store).disk.slowDown(factor, trouble);
    },
  }),

  /** Operations do not end for a while. */
  'disk-stall': faultClass({
    weight: 4,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      durationMs: magnitude(random, 200, 30_000),
      downMs: downTime(random),
      store: random.float(),
    }),
    inject({ cluster }, { machine, store, ...trouble }) {
      cluster.storeOf(machine, store).disk.stall(trouble);
    },
  }),

  /**
   * Bits flip, a write is lost or lands elsewhere, somewhere in the files of a node that is down. It has to refuse
   * to start, and its store is set aside then, or to be right. The end of the log is spared: what is damaged
   * there cannot be told from a write that a crash cut short.
   */
  corrupt: faultClass({
    weight: 4,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      file: random.float(),
      place: random.float(),
      kind: random.pick(['flip', 'lost', 'misdirected'] as const),
      downMs: downTime(random),
      store: random.float(),
    }),
    inject(target, { machine, store, file, place, kind, downMs }) {
      const { cluster, world } = target;
      if (!cluster.isUp(machine) || !mayLose(cluster, machine)) return;
      cluster.crash(machine, 'process');
      const { disk } = cluster.storeOf(machine, store);
      const where = damage(disk.files, { file, place, kind });
      world.story(`m${machine + 1} is damaged (${kind}): ${where ?? 'nothing to damage'}`);
      disk.isDamaged = where !== undefined;
      target.after(downMs, () => cluster.start(machine));
    },
  }),

  /** A disk is replaced, or all disks of a machine are. */
  wipe: faultClass({
    weight: 3,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      downMs: downTime(random),
      store: random.float(),
      areAll: random.chance(0.3),
    }),
    inject({ cluster, after }, { machine, store, areAll, downMs }) {
      if (!mayLose(cluster, machine)) return;
      cluster.wipe(machine, areAll ? undefined : cluster.storeOf(machine, store));
      after(downMs, () => cluster.start(machine));
    },
  }),
};

/** Every range has at least three voters and is at rest, and all its replicas are on stores that are there and serve. */
function mayLose(cluster: SimCluster, machine: number): boolean {
  if (cluster.serving().length !== cluster.size) return false;
  const all = ranges(cluster);
  const isWhole = (range: (typeof all)[number]): boolean => {
    const members = membersOfRange(cluster, range);
    return (
      range.replicas.filter(({ kind }) => kind === 'voter').length >= 3 &&
      !isChanging(range) &&
      members.length === range.replicas.length
    );
  };
  return all.length > 0 && machine < cluster.size && all.every(isWhole);
}

const sectorBytes = 512;

/** Changes one file; returns what was done. */
function damage(
  files: MemoryDisk,
  { file, place, kind }: { file: number; place: number; kind: 'flip' | 'lost' | 'misdirected' },
): string | undefined {
  const paths = files.paths().filter((path) => (files.peek(path)?.length ?? 0) > 0);
  const path = paths[Math.floor(file * paths.length)];
  if (path === undefined) return undefined;
  const content = files.peek(path);
  if (content === undefined) return undefined;
  const isLog = path.endsWith('.log');
  const spared = isLog ? content.length / 2 : 0;
  const at = Math.floor(place * (content.length - spared));
  const sector = at - (at % sectorBytes);
  const end = Math.min(sector + sectorBytes, content.length - Math.floor(spared));
  if (isLog && content.length < 4 * sectorBytes) return undefined;
  switch (kind) {
    case 'flip':
      content.writeUInt8(content.readUInt8(at) ^ (1 << (at % 8)), at);
      break;
    case 'lost':
      content.fill(0, sector, end);
      break;
    case 'misdirected':
      content.copy(content, sector, 0, end - sector);
      break;
  }
  files.poke(path, content);
  return `${path} at ${at} of ${content.length}`;
}
