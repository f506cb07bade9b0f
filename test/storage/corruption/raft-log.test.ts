/**
 * Damage to the files of the raft log. What the log promises: an acknowledged entry comes back, or the store is refused. The one
 * exception is a last segment that lost its end after a crash: that is how a torn write looks, so what comes back may be the log
 * as it stood some writes ago. The state engine, whose applied index would lie behind it, refuses most of these. After a clean
 * stop there is no exception: the list of segments says where the log ended.
 */
import { describe, expect, it } from 'vitest';
import { asRangeId } from '../../../src/kv/index.ts';
import { MemoryDisk } from '../../../src/sim/memory-disk.ts';
import { CorruptionError, SegmentedRaftLog } from '../../../src/storage/index.ts';
import { testEnv } from '../env.ts';
import { SeededRandom } from '../../random.ts';
import { damageBytes, firstSeed, trialsOf } from './damage.ts';

const directory = 'raft';
const rangeIds = [1, 2, 3, 4].map((id) => asRangeId(id));

interface Master {
  readonly files: ReadonlyMap<string, Buffer>;
  /** What the log said after each acknowledged write. */
  readonly history: readonly string[];
}

function describeLog(log: SegmentedRaftLog): string {
  return log
    .rangeIds()
    .sort((a, b) => a - b)
    .map((id) => {
      const range = log.range(id);
      const { term, vote, commit } = range.hardState;
      const entries =
        range.lastIndex < range.firstIndex
          ? []
          : range.entries(range.firstIndex, range.lastIndex + 1, Infinity);
      const shown = entries.map((e) => `${e.index}@${e.term} ${e.kind} ${e.data.toString('hex')}`);
      return [`r${id} from ${range.firstIndex} hs ${term}/${vote}/${commit}`, ...shown].join('\n');
    })
    .join('\n');
}

async function openLog(disk: MemoryDisk): Promise<SegmentedRaftLog> {
  const env = { ...testEnv(1), disk };
  return SegmentedRaftLog.open({ env, directory, segmentBytes: 20_000 });
}

/** Appends, truncations and resets over several segments; data of all sizes, never a run of zeros. */
async function makeMaster(how: 'stopped' | 'crashed'): Promise<Master> {
  const random = new SeededRandom(11);
  const disk = new MemoryDisk({ random });
  const log = await openLog(disk);
  const history = [describeLog(log)];
  for (let step = 0; step < 200; step++) {
    const rangeId = rangeIds[random.below(rangeIds.length)] ?? asRangeId(1);
    const range = log.range(rangeId);
    const from = range.lastIndex + 1;
    const entries = Array.from({ length: random.below(6) }, (_, i) => ({
      index: from + i,
      term: 1 + Math.floor(step / 50),
      kind: 'normal' as const,
      data: random.bytes(random.below(random.below(8) === 0 ? 6000 : 200)).map((b) => b | 1),
    })).map((entry) => ({ ...entry, data: Buffer.from(entry.data) }));
    const commit = Math.max(range.hardState.commit, range.lastIndex - random.below(3));
    const hardState = { term: 1 + Math.floor(step / 50), vote: 1, commit };
    if (random.below(4) === 0 && commit > range.firstIndex) {
      log.truncate(rangeId, { index: commit, term: range.term(commit) ?? 0 });
    }
    await log.append([{ rangeId, hardState, entries }]);
    history.push(describeLog(log));
  }
  if (how === 'stopped') await log.close();
  const files = new Map<string, Buffer>();
  for (const path of disk.paths()) files.set(path, Buffer.from(disk.peek(path) ?? []));
  if (how === 'crashed') await log.close();
  return { files, history };
}

describe('damaged files of the raft log', () => {
  const lives = ['stopped', 'crashed'] as const;
  it.each(lives)('%s: acknowledged data, or a refusal', { timeout: 600_000 }, async (how) => {
    const { files, history } = await makeMaster(how);
    const paths = [...files.keys()].sort();
    expect(paths.length).toBeGreaterThan(3);
    const last = paths.filter((path) => path.endsWith('.log')).at(-1);
    const bad: string[] = [];
    const counts = { refused: 0, complete: 0, cut: 0 };
    for (let seed = firstSeed; seed < firstSeed + trialsOf(500); seed++) {
      const random = new SeededRandom(seed);
      const disk = new MemoryDisk({ random });
      await disk.mkdir(directory);
      for (const [path, content] of files) disk.poke(path, content);
      const path = paths[random.below(paths.length)] ?? '';
      const damage = damageBytes(files.get(path) ?? Buffer.alloc(0), random);
      disk.poke(path, damage.bytes);
      const story = `seed ${seed}: ${path}, ${damage.what}`;
      try {
        const log = await openLog(disk);
        const step = history.lastIndexOf(describeLog(log));
        if (step === history.length - 1) counts.complete++;
        else if (how === 'crashed' && step >= 0 && damage.kind === 'truncate' && path === last)
          counts.cut++;
        else bad.push(`${story}: the state of write ${step} of ${history.length - 1}`);
        // It must go on from there.
        const range = log.range(asRangeId(1));
        const entry = { index: range.lastIndex + 1, term: 9, kind: 'normal' as const };
        await log.append([
          {
            rangeId: asRangeId(1),
            hardState: undefined,
            entries: [{ ...entry, data: Buffer.from('x') }],
          },
        ]);
        await log.close();
      } catch (error) {
        if (error instanceof CorruptionError && / /.test(error.message)) counts.refused++;
        else bad.push(`${story}: ${String(error)}`);
      }
    }
    expect(bad).toEqual([]);
    expect(counts.refused).toBeGreaterThan(counts.cut);
  });
});
