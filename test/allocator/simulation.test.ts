/**
 * Whole clusters over hours of virtual time: what is due gets done, things come to rest and stay so. The bounds that
 * hold are stated at each test.
 */
import { describe, expect, it } from 'vitest';
import {
  apply,
  ClusterPicture,
  conformance,
  type RangePicture,
  type StorePicture,
} from '../../src/allocator/index.ts';
import { asStoreId, defaultZoneConfig, type ZoneConfig } from '../../src/kv/index.ts';
import { SeededRandom } from '../../src/sim/random.ts';
import { rangesOn, Simulation, type SimulatedStore } from './simulator.ts';
import { parseLocality, parseZone } from './words.ts';

const zone = defaultZoneConfig;

function stores(...places: readonly string[]): SimulatedStore[] {
  return places.map((place) => ({ locality: place === '' ? [] : parseLocality(place) }));
}

/** So many stores in each of the places. */
function storesIn(places: readonly string[], each: number): SimulatedStore[] {
  return stores(...places.flatMap((place) => Array.from({ length: each }, () => place)));
}

function zoneOf(text: string): ZoneConfig {
  return parseZone(
    new Map(
      text.split(' ').map((word) => {
        const at = word.indexOf('=');
        return [word.slice(0, at), word.slice(at + 1)];
      }),
    ),
  );
}

type Count = 'rangeCount' | 'leaseCount' | 'qps';

function width(pictures: readonly StorePicture[], count: Count): number {
  const counts = pictures.map((each) => each[count]);
  return Math.max(...counts) - Math.min(...counts);
}

function pictured(simulation: Simulation): RangePicture[] {
  return simulation.ranges.map((each) => each.picture);
}

function of(simulation: Simulation, store: number): StorePicture | undefined {
  return simulation.pictures().find((each) => each.storeId === store);
}

function live(simulation: Simulation): StorePicture[] {
  return simulation.pictures().filter((each) => each.status === 'live');
}

/** Ranges that are not as their zones want them. */
function amiss(simulation: Simulation): string[] {
  const zones = new Map(simulation.ranges.map((each) => [each.picture.rangeId, each.zone]));
  const reports = conformance(
    simulation.pictures(),
    pictured(simulation),
    (range) => zones.get(range.rangeId) ?? zone,
  );
  return [...reports].flatMap((each) => {
    const wrong = [
      each.isUnavailable ? 'unavailable' : '',
      each.isUnderReplicated ? 'under-replicated' : '',
      each.isOverReplicated ? 'over-replicated' : '',
      ...each.violations.map(({ constraint }) => constraint),
    ].filter((word) => word !== '');
    return wrong.length === 0 ? [] : [`r${each.rangeId}: ${wrong.join(' ')}`];
  });
}

/** Comes to rest, with nothing amiss, and stays at rest: not one action in ten minutes more. */
function settle(simulation: Simulation, secondsMax: number): void {
  expect(simulation.converge(secondsMax), 'comes to rest').toBeDefined();
  expect(amiss(simulation)).toEqual([]);
  const before = { ...simulation.totals };
  simulation.run(600);
  expect(simulation.totals).toEqual(before);
}

/** So far from the mean counts may be at rest: a share of it, and at least a few. */
function band(mean: number, atLeast: number): number {
  return Math.max(mean * 0.05, atLeast);
}

describe('a simulated cluster', () => {
  it('spreads ranges and leases from three stores to twelve', () => {
    const simulation = new Simulation({
      seed: 1,
      stores: storesIn(['a', 'b', 'c'], 4),
      ranges: rangesOn(120, 3, zone),
    });
    settle(simulation, 3600);
    expect(width(live(simulation), 'rangeCount')).toBeLessThanOrEqual(2 * band(30, 2));
    expect(width(live(simulation), 'leaseCount')).toBeLessThanOrEqual(2 * band(10, 1) + 1);
    // 270 replicas have to leave the first three stores; the detours over diversity cost less than half as much.
    expect(simulation.totals.copies).toBeLessThan(405);
  });

  it('comes to rest with pictures that are ten seconds old', () => {
    const simulation = new Simulation({
      seed: 2,
      stores: storesIn([''], 8),
      ranges: rangesOn(120, 3, zone),
      gossipDelayS: 10,
    });
    settle(simulation, 3600);
    expect(width(live(simulation), 'rangeCount')).toBeLessThanOrEqual(2 * band(45, 2));
    expect(simulation.totals.copies).toBeLessThan(300);
  });

  it('makes the replicas of a dead node anew, and fills the node that comes instead', () => {
    const simulation = new Simulation({
      seed: 3,
      stores: storesIn(['a', 'b', 'c'], 3),
      ranges: rangesOn(90, 9, zone),
    });
    settle(simulation, 3600);
    simulation.set(asStoreId(4), 'kill');
    // Five minutes of silence, then copies to eight stores at once.
    simulation.run(420);
    expect(amiss(simulation)).toEqual([]);
    const joined = simulation.addStore({ locality: parseLocality('b') });
    settle(simulation, 3600);
    const pictures = live(simulation);
    expect(pictures.find((each) => each.storeId === joined)?.rangeCount).toBeGreaterThan(25);
    expect(width(pictures, 'rangeCount')).toBeLessThanOrEqual(2 * band(30, 2));
  });

  it('copies nothing during a rolling restart', () => {
    const simulation = new Simulation({
      seed: 8,
      stores: storesIn(['a', 'b', 'c'], 2),
      ranges: rangesOn(60, 6, zone),
    });
    settle(simulation, 3600);
    const { copies } = simulation.totals;
    for (const storeId of simulation.stores.keys()) {
      simulation.set(storeId, 'drain');
      simulation.run(20);
      expect(of(simulation, storeId)).toMatchObject({ leaseCount: 0 });
      simulation.set(storeId, 'kill');
      simulation.run(60);
      simulation.set(storeId, 'restart');
      simulation.run(30);
    }
    expect(simulation.totals.copies).toBe(copies);
    settle(simulation, 3600);
    expect(simulation.totals.copies).toBe(copies);
    expect(width(live(simulation), 'leaseCount')).toBeLessThanOrEqual(2 * band(10, 1) + 1);
  });

  it('empties nodes that are decommissioned, and takes leases off one that drains', () => {
    const simulation = new Simulation({
      seed: 4,
      stores: storesIn(['a', 'b', 'c'], 3),
      ranges: rangesOn(90, 9, zone),
    });
    settle(simulation, 3600);
    simulation.set(asStoreId(1), 'drain');
    simulation.run(30);
    expect(of(simulation, 1)).toMatchObject({ leaseCount: 0 });
    expect(of(simulation, 1)?.rangeCount).toBeGreaterThan(20);
    simulation.set(asStoreId(1), 'restart');
    simulation.set(asStoreId(2), 'decommission');
    simulation.set(asStoreId(6), 'decommission');
    settle(simulation, 3600);
    for (const store of [2, 6]) {
      expect(of(simulation, store)).toMatchObject({ rangeCount: 0, leaseCount: 0 });
    }
  });

  it('loses a region and takes it back', () => {
    const simulation = new Simulation({
      seed: 5,
      stores: storesIn(['eu', 'us', 'asia'], 3),
      ranges: Array.from({ length: 40 }, () => ({
        stores: [1, 2, 4, 5, 7],
        zone: zoneOf('replicas=5 prefer=+region=eu;+region=us'),
      })),
    });
    settle(simulation, 3600);
    const leasesIn = (region: string): number =>
      live(simulation)
        .filter((each) => each.locality[0]?.[1] === region)
        .reduce((sum, each) => sum + each.leaseCount, 0);
    expect(leasesIn('eu')).toBe(40);
    for (const store of [1, 2, 3]) simulation.set(asStoreId(store), 'kill');
    simulation.run(60);
    expect(leasesIn('us')).toBe(40);
    simulation.run(600);
    expect(amiss(simulation)).toEqual([]);
    for (const store of [1, 2, 3]) simulation.set(asStoreId(store), 'restart');
    settle(simulation, 3600);
    expect(leasesIn('eu')).toBe(40);
    // No region holds three of five.
    const reports = [...conformance(simulation.pictures(), pictured(simulation), () => zone)];
    expect(reports.flatMap((each) => each.criticalLocalities)).toEqual([]);
  });

  it('moves leases and replicas away from a hot store, and follows when the load moves', () => {
    const simulation = new Simulation({
      seed: 6,
      stores: storesIn([''], 6),
      ranges: rangesOn(60, 6, zone, 5),
    });
    settle(simulation, 3600);
    for (const store of [1, 4]) {
      for (const range of simulation.ranges) {
        simulation.setLoad(range, range.picture.leaseholder === store ? 150 : 5);
      }
      settle(simulation, 7200);
      const loads = live(simulation).map((each) => each.qps);
      const mean = loads.reduce((a, b) => a + b) / loads.length;
      expect(Math.max(...loads)).toBeLessThanOrEqual(mean + Math.max(mean * 0.25, 100));
    }
  });

  it('hardly moves anything when load is noisy', () => {
    const simulation = new Simulation({
      seed: 7,
      stores: storesIn([''], 6),
      ranges: rangesOn(60, 6, zone, 100),
      noise: 0.5,
    });
    simulation.run(1800);
    const before = simulation.totals.copies + simulation.totals.leases;
    simulation.run(3600);
    // Each measurement is half too high or too low: at most two actions per store in an hour.
    const after = simulation.totals.copies + simulation.totals.leases;
    expect(after - before).toBeLessThanOrEqual(12);
  });

  for (const seed of [11, 12, 13, 14]) {
    it(`satisfies every constraint that can be satisfied, and never makes one worse (seed ${seed})`, () => {
      const random = new SeededRandom(seed);
      const stores = storesIn(['eu/a', 'eu/b', 'us/a', 'us/b', 'asia/a'], 3).map((each) => ({
        ...each,
        attributes: random.chance(0.5) ? ['ssd'] : [],
      }));
      const zones = [
        'replicas=3 constraints=+region=eu',
        'replicas=3 constraints=-region=us prefer=+region=asia',
        'replicas=5 constraints=2:+region=eu;1:+region=us;1:+region=asia',
        'replicas=5 voters=3 voter_constraints=+region=us constraints=1:+region=eu;1:+region=asia',
        'replicas=3 constraints=1:+ssd;1:+region=asia',
        'replicas=3 constraints=1:+region=eu,+zone=a;1:+region=us,+zone=b;1:+region=asia',
      ].map(zoneOf);
      const simulation = new Simulation({
        seed,
        stores,
        ranges: Array.from({ length: 60 }, (_, at) => ({
          stores: [1, 2, 3].map((part) => random.between(part * 5 - 4, part * 5)),
          zone: zones[at % zones.length] ?? zone,
        })),
      });
      simulation.onAction = (range, action, known) => {
        const cluster = new ClusterPicture(known);
        const violated = (picture: RangePicture): number => {
          const voters = picture.replicas.filter((each) => each.kind === 'voter');
          const others = picture.replicas.filter((each) => each.kind === 'non-voter');
          const stateOf = cluster.storeOf.bind(cluster);
          return cluster.rulesOf(range.zone).violations(voters.map(stateOf), others.map(stateOf));
        };
        const before = violated(range.picture);
        const isMoved = action.kind === 'replace' || action.kind === 'swap';
        const after = apply(cluster, range.picture, action);
        if (isMoved) expect(violated(after), action.reason).toBeLessThanOrEqual(before);
      };
      settle(simulation, 7200);
    });
  }
});
