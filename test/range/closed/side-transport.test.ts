/** Groups of ranges at rest, told over a network that loses messages: see `src/range/closed`. SEED= repeats a run. */
import { expect, it } from 'vitest';
import { asNodeId, asRangeId, asStoreId, type RangeId } from '../../../src/kv/index.ts';
import { decodeClosed, encodeClosed } from '../../../src/range/closed/closed-codec.ts';
import { ClosedStreams } from '../../../src/range/closed/closed-streams.ts';
import {
  leaseReach,
  QuietGroups,
  type QuietGroup,
} from '../../../src/range/closed/quiet-groups.ts';
import { SeededRandom } from '../../../src/sim/random.ts';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e6);

interface Led {
  readonly rangeId: RangeId;
  /** Wall times of its writes; the log index of a write is its place here. */
  readonly log: number[];
  group: QuietGroup | undefined;
  promised: number;
}

it(`seed ${seed}: whatever gets lost, what a follower believes to be closed is closed`, () => {
  const random = new SeededRandom(seed);
  const groups = new QuietGroups();
  const led = Array.from({ length: 12 }, (_, i): Led => ({
    rangeId: asRangeId(i + 1),
    log: [],
    group: undefined,
    promised: 0,
  }));
  const facts: { readonly rangeId: RangeId; readonly index: number; readonly closed: number }[] =
    [];
  const heard = new ClosedStreams((rangeId, fact) => facts.push({ rangeId, ...fact }));
  const places = [2, 3].map((store) => ({
    peers: [{ nodeId: asNodeId(store), storeId: asStoreId(store) }],
    promising: [asStoreId(store)],
    voters: 2,
    ahead: store === 3,
  }));
  let stream = 1;
  let sequence = 0;
  let isNew = true;
  for (let now = 1_000; now < 9_000; now++) {
    for (const range of led) {
      if (range.group === undefined && random.chance(0.05)) {
        const place = random.pick(places);
        range.group = groups.join(range.rangeId, range.log.length, place);
      } else if (range.group !== undefined && random.chance(0.03)) {
        range.promised = Math.max(range.promised, range.group.closed);
        groups.leave(range.rangeId, range.group);
        range.group = undefined;
      }
      // As late as it may be.
      if (range.group === undefined && random.chance(0.3)) range.log.push(range.promised + 1);
    }
    if (now % 10 > 0) continue;
    const told = Array.from(groups.all, (group) => {
      group.closed = Math.max(group.closed, now - random.between(100, 200));
      const all = isNew ? group.members : group.changes;
      const came = [...all].flatMap(([rangeId, index]) =>
        index === undefined ? [] : [{ rangeId, index }],
      );
      const went = isNew ? [] : [...group.changes.keys()].filter((id) => !group.members.has(id));
      return { id: group.id, closed: group.closed, came, went };
    });
    const message = encodeClosed({
      from: asStoreId(1),
      to: asStoreId(2),
      now: { wall: now, logical: 0 },
      stream,
      sequence: ++sequence,
      groups: told,
      awake: [],
    });
    groups.told();
    isNew = false;
    const isLost = random.chance(0.05);
    if (!isLost && !heard.receive(decodeClosed(message))) {
      isNew = true;
      stream++;
      sequence = 0;
    }
    for (const { rangeId } of led) {
      const fact = heard.of(rangeId);
      if (fact !== undefined) facts.push({ rangeId, ...fact });
    }
  }
  expect(facts.length).toBeGreaterThan(1_000);
  for (const { rangeId, index, closed } of facts) {
    const { log } = led.find((range) => range.rangeId === rangeId) ?? { log: [] };
    expect(Math.min(...log.slice(index), Infinity)).toBeGreaterThan(closed);
  }
});

it('a lease reaches as far as a quorum has promised', () => {
  const place = { peers: [], promising: [asStoreId(2), asStoreId(3)], voters: 3, ahead: false };
  const promised = (store: number): number => store * 100;
  expect(leaseReach(place, promised)).toBe(300);
  expect(leaseReach({ ...place, voters: 5 }, promised)).toBe(200);
  expect(leaseReach({ ...place, promising: [asStoreId(2)], voters: 5 }, promised)).toBe(0);
  expect(leaseReach({ ...place, promising: [], voters: 1 }, promised)).toBe(Infinity);
});
