/**
 * Zone configurations by key. The keyspace is cut into segments, each with the configuration in force in it; neighbours
 * whose configurations are equal are one segment, so that small tables of one zone may share ranges. Ranges are
 * split where a segment begins. Keys between two tables belong to no object: they go with the table in front of them.
 */
import { keyMin, metaEnd, tableKeyPrefix, userTablesStart } from '../../encoding/index.ts';
import { must } from '../../util/index.ts';
import { firstUserId } from './oids.ts';
import { type TableDescriptor } from './descriptors.ts';
import { subzoneOf, subzoneSpans } from './partitions.ts';
import { type CatalogSnapshot } from './snapshot.ts';
import { fullZone, storedZones, zoneIds, type FullZoneConfig } from './zones.ts';

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

  get last(): FullZoneConfig | undefined {
    return this.segments.at(-1)?.config;
  }

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
  const subIdsWithZones = new Map<number, number[]>();
  for (const { zone } of storedZones(snapshot)) {
    const known = subIdsWithZones.get(zone.id);
    if (known === undefined) subIdsWithZones.set(zone.id, [zone.subId]);
    else known.push(zone.subId);
  }
  const ofDatabase = new Map<number, FullZoneConfig>();
  let hasUserTables = false;
  for (const descriptor of [...snapshot.data.descriptors.values()].sort((a, b) => a.id - b.id)) {
    if (descriptor.kind === 'database' || descriptor.kind === 'schema') continue;
    const { id, databaseId } = descriptor;
    const isFirst: boolean = id >= firstUserId && !hasUserTables;
    hasUserTables ||= isFirst;
    const start = (): Buffer => (isFirst ? userTablesStart : tableKeyPrefix(id));
    const own = subIdsWithZones.get(id);
    if (own === undefined) {
      let config = ofDatabase.get(databaseId);
      config ??= fullZone(snapshot, { id: databaseId, subId: 0 });
      ofDatabase.set(databaseId, config);
      // The next of many tables without zones of their own.
      if (config !== list.last) list.add(start(), config);
    } else {
      const config = fullZone(snapshot, { id, subId: 0 });
      list.add(start(), config);
      if (descriptor.kind === 'table') addSubzones(list, snapshot, descriptor, own, config);
    }
  }
  if (!hasUserTables) list.add(userTablesStart, fullZone(snapshot, zoneIds.default));
  return list.segments;
}

/** Spans of indexes and partitions; a span lies inside another one or beside it, and the innermost decides. */
function addSubzones(
  list: SegmentList,
  snapshot: CatalogSnapshot,
  table: TableDescriptor,
  subIds: readonly number[],
  ofTable: FullZoneConfig,
): void {
  const spans = subIds.flatMap((subId) => {
    const subzone = subzoneOf(table, subId);
    if (subzone === undefined) return [];
    const config = fullZone(snapshot, { id: table.id, subId });
    return subzoneSpans(table, subzone).map((span) => ({ ...span, config }));
  });
  spans.sort((a, b) => a.start.compare(b.start) || b.end.compare(a.end));
  const open: typeof spans = [];
  const closeUpTo = (key: Buffer | undefined): void => {
    for (let last = open.at(-1); last !== undefined; last = open.at(-1)) {
      if (key !== undefined && last.end.compare(key) > 0) return;
      open.pop();
      list.add(last.end, open.at(-1)?.config ?? ofTable);
    }
  };
  for (const span of spans) {
    closeUpTo(span.start);
    list.add(span.start, span.config);
    open.push(span);
  }
  closeUpTo(undefined);
}
