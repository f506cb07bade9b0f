/**
 * Zones by key. The keyspace is cut into spans, each of them a zone's, and these into fewer segments, each with the
 * configuration in force in it: neighbours whose configurations are equal are one segment, so that small tables of one
 * zone may share ranges. Ranges are split where a segment begins. Keys between two tables belong to no object: they go with the table in front of them.
 */
import { keyMin, metaEnd, tableKeyPrefix, userTablesStart } from '../../encoding/index.ts';
import { must } from '../../util/index.ts';
import { firstUserId } from './oids.ts';
import { subzoneOf, subzoneSpans } from './partitions.ts';
import { type CatalogSnapshot } from './snapshot.ts';
import { fullZone, storedZones, zoneIds, type FullZoneConfig, type ZoneId } from './zones.ts';

/** A zone and what holds in it: the object itself, or the database of an object without a zone of its own. */
interface Holder {
  readonly zone: ZoneId;
  readonly config: FullZoneConfig;
}

interface Span {
  /** It ends where the next one begins. */
  readonly start: Buffer;
  readonly holder: Holder;
}

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

/** The zones of the keys in [start, end): each of an object that has one, or of the database around it. */
export function zonesWithin(snapshot: CatalogSnapshot, start: Buffer, end: Buffer): ZoneId[] {
  const spans = spansOf(snapshot);
  const found = new Set<ZoneId>();
  for (let at = Math.max(0, firstBehind(spans, start) - 1); at < spans.length; at++) {
    const { start: from, holder } = must(spans[at]);
    if (from.compare(end) >= 0) break;
    found.add(holder.zone);
  }
  return [...found];
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

/** Index of the first one that starts behind `key`. */
function firstBehind(parts: readonly { readonly start: Buffer }[], key: Buffer): number {
  let low = 0;
  let high = parts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (must(parts[middle]).start.compare(key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function segmentsOf(snapshot: CatalogSnapshot): readonly Segment[] {
  return snapshot.derive('zone-segments', () => makeSegments(spansOf(snapshot)));
}

function makeSegments(spans: readonly Span[]): readonly Segment[] {
  const segments: Segment[] = [];
  const fingerprints = new Map<Holder, string>();
  for (const { start, holder } of spans) {
    const { config } = holder;
    let fingerprint = fingerprints.get(holder);
    if (fingerprint === undefined) {
      fingerprint = JSON.stringify(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)));
      fingerprints.set(holder, fingerprint);
    }
    if (segments.at(-1)?.fingerprint === fingerprint) continue;
    segments.push({ start, config, fingerprint });
  }
  return segments;
}

function spansOf(snapshot: CatalogSnapshot): readonly Span[] {
  return snapshot.derive('zone-spans', () => makeSpans(snapshot));
}

class SpanList {
  readonly spans: Span[] = [];

  get last(): Holder | undefined {
    return this.spans.at(-1)?.holder;
  }

  /** From `start` on keys are the holder's. Starts come in order; a later one at the same key takes the place of the earlier. */
  add(start: Buffer, holder: Holder): void {
    while (this.spans.at(-1)?.start.equals(start) === true) this.spans.pop();
    if (this.last !== holder) this.spans.push({ start, holder });
  }
}

function makeSpans(snapshot: CatalogSnapshot): readonly Span[] {
  const holderOf = (zone: ZoneId): Holder => ({ zone, config: fullZone(snapshot, zone) });
  const list = new SpanList();
  list.add(keyMin, holderOf(zoneIds.meta));
  list.add(metaEnd, holderOf(zoneIds.system));
  const subIdsWithZones = new Map<number, number[]>();
  for (const { zone } of storedZones(snapshot)) {
    const known = subIdsWithZones.get(zone.id);
    if (known === undefined) subIdsWithZones.set(zone.id, [zone.subId]);
    else known.push(zone.subId);
  }
  const ofDatabase = new Map<number, Holder>();
  let hasUserTables = false;
  for (const descriptor of [...snapshot.data.descriptors.values()].sort((a, b) => a.id - b.id)) {
    if (descriptor.kind === 'database' || descriptor.kind === 'schema') continue;
    const { id, databaseId } = descriptor;
    const isFirst: boolean = id >= firstUserId && !hasUserTables;
    hasUserTables ||= isFirst;
    const start = (): Buffer => (isFirst ? userTablesStart : tableKeyPrefix(id));
    const own = subIdsWithZones.get(id);
    if (own === undefined) {
      let holder = ofDatabase.get(databaseId);
      holder ??= holderOf({ id: databaseId, subId: 0 });
      ofDatabase.set(databaseId, holder);
      // The next of many tables without zones of their own.
      if (holder !== list.last) list.add(start(), holder);
    } else {
      const holder = holderOf({ id, subId: 0 });
      list.add(start(), holder);
      if (descriptor.kind !== 'table') continue;
      const subzones = own.flatMap((subId) => {
        const subzone = subzoneOf(descriptor, subId);
        return subzone === undefined ? [] : [{ subzone, holder: holderOf({ id, subId }) }];
      });
      const spans = subzones.flatMap((each) =>
        subzoneSpans(descriptor, each.subzone).map((span) => ({ ...span, holder: each.holder })),
      );
      addSubzones(list, spans, holder);
    }
  }
  if (!hasUserTables) list.add(userTablesStart, holderOf(zoneIds.default));
  return list.spans;
}

/** Spans of indexes and partitions; a span lies inside another one or beside it, and the innermost decides. */
function addSubzones(
  list: SpanList,
  spans: (Span & { readonly end: Buffer })[],
  ofTable: Holder,
): void {
  spans.sort((a, b) => a.start.compare(b.start) || b.end.compare(a.end));
  const open: typeof spans = [];
  const closeUpTo = (key: Buffer | undefined): void => {
    for (let last = open.at(-1); last !== undefined; last = open.at(-1)) {
      if (key !== undefined && last.end.compare(key) > 0) return;
      open.pop();
      list.add(last.end, open.at(-1)?.holder ?? ofTable);
    }
  };
  for (const span of spans) {
    closeUpTo(span.start);
    list.add(span.start, span.holder);
    open.push(span);
  }
  closeUpTo(undefined);
}
