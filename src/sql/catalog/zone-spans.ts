/**
 * Zone configurations by key. The keyspace is cut into segments, each with the configuration in force in it; neighbours
 * whose configurations are equal are one segment, so that small tables of one zone may share ranges. Ranges are
 * split where a segment begins. Keys between two tables belong to no object: they go with the table in front of them.
 */
import {
  indexPrefix,
  keyMin,
  metaEnd,
  tableKeyPrefix,
  userTablesStart,
} from '../../encoding/index.ts';
import { must, prefixEnd } from '../../util/index.ts';
import { firstUserId } from './oids.ts';
import { type CatalogSnapshot } from './snapshot.ts';
import { fullZone, zoneIds, type FullZoneConfig } from './zones.ts';

interface Segment {
  /** It ends where the next one begins. */
  readonly start: Buffer;
  readonly config: FullZoneConfig;
  /** Equal for equal configurations. */
  readonly fingerprint: string;
}

/** The configuration in force for `key`. */
export function zoneConfigFor(snapshot: CatalogSnapshot, key: Buffer): FullZoneConfig {
  const segments = segmentsOf(snapshot);
  return must(segments[Math.max(0, firstBehind(segments, key) - 1)]).config;
}

/** Where configurations change between `start` and `end`, both exclusive, in order. */
export function zoneBoundaries(snapshot: CatalogSnapshot, start: Buffer, end: Buffer): Buffer[] {
  const segments = segmentsOf(snapshot);
  const found: Buffer[] = [];
  for (let at = firstBehind(segments, start); at < segments.length; at++) {
    const boundary = must(segments[at]).start;
    if (boundary.compare(end) >= 0) break;
    found.push(boundary);
  }
  return found;
}

/** True when every key has the same configuration in both. */
export function sameZones(a: CatalogSnapshot, b: CatalogSnapshot): boolean {
  const [left, right] = [segmentsOf(a), segmentsOf(b)];
  return (
    left.length === right.length &&
    left.every(({ start, fingerprint }, at) => {
      const other = must(right[at]);
      return fingerprint === other.fingerprint && start.equals(other.start);
    })
  );
}

/** Index of the first segment that starts behind `key`. */
function firstBehind(segments: readonly Segment[], key: Buffer): number {
  let low = 0;
  let high = segments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (must(segments[middle]).start.compare(key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function segmentsOf(snapshot: CatalogSnapshot): readonly Segment[] {
  return snapshot.derive('zone-segments', () => makeSegments(snapshot));
}

class SegmentList {
  readonly segments: Segment[] = [];
  readonly #fingerprints = new Map<FullZoneConfig, string>();

  /** From `start` on `config` holds. Starts come in order; a later one at the same key takes the place of the earlier. */
  add(start: Buffer, config: FullZoneConfig): void {
    while (this.segments.at(-1)?.start.equals(start) === true) this.segments.pop();
    let fingerprint = this.#fingerprints.get(config);
    if (fingerprint === undefined) {
      fingerprint = JSON.stringify(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)));
      this.#fingerprints.set(config, fingerprint);
    }
    if (this.segments.at(-1)?.fingerprint === fingerprint) return;
    this.segments.push({ start, config, fingerprint });
  }
}

function makeSegments(snapshot: CatalogSnapshot): readonly Segment[] {
  const list = new SegmentList();
  list.add(keyMin, fullZone(snapshot, zoneIds.meta));
  list.add(metaEnd, fullZone(snapshot, zoneIds.system));
  const indexesWithZones = new Map<number, number[]>();
  for (const key of snapshot.data.zones.keys()) {
    const [id = 0, subId = 0] = key.split('/').map(Number);
    const known = indexesWithZones.get(id);
    if (known === undefined) indexesWithZones.set(id, [subId]);
    else known.push(subId);
  }
  const ofDatabase = new Map<number, FullZoneConfig>();
  let hasUserTables = false;
  for (const descriptor of [...snapshot.data.descriptors.values()].sort((a, b) => a.id - b.id)) {
    if (descriptor.kind === 'database' || descriptor.kind === 'schema') continue;
    const { id, databaseId } = descriptor;
    const isFirst: boolean = id >= firstUserId && !hasUserTables;
    const start = isFirst ? userTablesStart : tableKeyPrefix(id);
    hasUserTables ||= isFirst;
    const own = indexesWithZones.get(id);
    if (own === undefined) {
      let config = ofDatabase.get(databaseId);
      config ??= fullZone(snapshot, { id: databaseId, subId: 0 });
      ofDatabase.set(databaseId, config);
      list.add(start, config);
    } else {
      const config = fullZone(snapshot, { id, subId: 0 });
      list.add(start, config);
      for (const indexId of own.filter((subId) => subId !== 0).sort((a, b) => a - b)) {
        const span = indexPrefix({ tableId: id, indexId });
        list.add(span, fullZone(snapshot, { id, subId: indexId }));
        list.add(must(prefixEnd(span)), config);
      }
    }
  }
  if (!hasUserTables) list.add(userTablesStart, fullZone(snapshot, zoneIds.default));
  return list.segments;
}
