/**
 * EXPLAIN of a change of placement: a zone configuration, the decommissioning of nodes or stores. The allocator itself tells which
 * replicas it would move, how much that copies and which ranges it could do nothing for; nothing is changed.
 */
import { keyMax, keyMin } from '../../encoding/index.ts';
import {
  asMember,
  asRangeId,
  gossipKeys,
  isPartOf,
  memberName,
  type Member,
  type PlacementAdvice,
  type RangeId,
  type StoreId,
  type ZoneConfig,
} from '../../kv/index.ts';
import { must } from '../../util/index.ts';
import { zoneBoundaries, zoneConfigFor, type CatalogSnapshot } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import {
  type AdvisedChange,
  type ConfigureZone,
  type MembershipStatement,
} from '../parse/index.ts';
import { type StatementContext } from '../session/types.ts';
import { oids, type Row } from '../types/index.ts';
import { resultColumn, sessionCatalogOf } from './context.ts';
import { keyText } from './range-keys.ts';
import { rangePictures, type RangePicture } from './range-pictures.ts';
import { type Shown } from './types.ts';
import { withChange } from './zones.ts';

const columns = [
  resultColumn('action', oids.text),
  resultColumn('range_id', oids.int8),
  resultColumn('start_key', oids.text),
  resultColumn('replica', oids.text),
  resultColumn('from_store', oids.int8),
  resultColumn('to_store', oids.int8),
  resultColumn('bytes', oids.int8),
  resultColumn('reason', oids.text),
];

export function showAdvice(change: AdvisedChange): Shown {
  return { columns, rows: (context) => adviceRows(change, context) };
}

/** A range, or what of it is to be a range of its own. */
interface Part extends RangePicture {
  readonly start: Buffer;
  readonly sizeBytes: number;
  readonly zone: ZoneConfig;
}

async function adviceRows(change: AdvisedChange, context: StatementContext): Promise<Row[]> {
  const { advice, parts } = await advise(change, context);
  summarize(advice, context);
  return rowsOf(advice, parts, sessionCatalogOf(context).snapshot);
}

/** With the ids of the ranges themselves. */
export async function adviceFor(
  change: AdvisedChange,
  context: StatementContext,
): Promise<PlacementAdvice> {
  const { advice, parts } = await advise(change, context);
  const named = <T extends { readonly rangeId: RangeId }>(each: T): T => ({
    ...each,
    rangeId: must(parts[each.rangeId - 1]).range.rangeId,
  });
  return { moves: advice.moves.map(named), blocked: advice.blocked.map(named) };
}

/** Two parts of one range are told apart by where they stand in `parts`, counted from 1. */
async function advise(
  change: AdvisedChange,
  context: StatementContext,
): Promise<{ readonly advice: PlacementAdvice; readonly parts: readonly Part[] }> {
  const { advisor } = context;
  if (advisor === undefined) {
    throw sqlError('featureNotSupported', 'there is no cluster whose ranges could be moved');
  }
  const leaving = change.kind === 'alter-members' ? membersNamed(change, context) : [];
  const parts =
    change.kind === 'alter-members'
      ? await partsOn(leaving, context)
      : await partsChanged(change, context);
  const advice = await advisor.advise({
    ranges: parts.map(({ range: { replicas }, sizeBytes, zone }, at) => ({
      rangeId: asRangeId(at + 1),
      replicas,
      sizeBytes,
      zone,
    })),
    leaving,
    strict: change.kind === 'alter-members' && change.checks === 'strict',
  });
  return { advice, parts };
}

/** Throws 42704 for one that gossip does not know, 42601 for one that is named twice. */
export function membersNamed(
  { what, ids }: Pick<MembershipStatement, 'what' | 'ids'>,
  { gossip }: StatementContext,
): Member[] {
  if (new Set(ids).size !== ids.length) throw sqlError('syntaxError', `a ${what} is named twice`);
  return ids.map((id) => {
    const member = asMember(what, id);
    if (gossip?.get(gossipKeys.member(member)) !== undefined) return member;
    throw sqlError('undefinedObject', `${memberName(member)} does not exist`);
  });
}

async function partsOn(members: readonly Member[], context: StatementContext): Promise<Part[]> {
  const { snapshot } = sessionCatalogOf(context);
  const pictures = await allRanges(context);
  return pictures
    .filter(({ range }) =>
      range.replicas.some((each) => members.some((member) => isPartOf(each, member))),
    )
    .map((picture) => {
      const start = picture.range.startKey;
      const zone = zoneConfigFor(snapshot, start);
      return { ...picture, start, sizeBytes: picture.info?.sizeBytes ?? 0, zone };
    });
}

/** Parts for which another configuration is to hold; ranges end where it begins or ends. */
async function partsChanged(change: ConfigureZone, context: StatementContext): Promise<Part[]> {
  const catalog = sessionCatalogOf(context);
  const before = catalog.snapshot;
  const after = withChange(change, catalog, context.gossip).snapshot;
  const parts: Part[] = [];
  for (const picture of await allRanges(context)) {
    const { startKey, endKey } = picture.range;
    const ends = [...zoneBoundaries(after, startKey, endKey), endKey];
    for (const [at, end] of ends.entries()) {
      const start = at === 0 ? startKey : must(ends[at - 1]);
      const zone = zoneConfigFor(after, start);
      if (isSame(zoneConfigFor(before, start), zone)) continue;
      const sizeBytes =
        ends.length === 1
          ? (picture.info?.sizeBytes ?? 0)
          : (await context.db.spanStats(start, end)).sizeBytes;
      parts.push({ ...picture, start, sizeBytes, zone });
    }
  }
  return parts;
}

function isSame(a: ZoneConfig, b: ZoneConfig): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

function allRanges(context: StatementContext): Promise<RangePicture[]> {
  return rangePictures(context, { start: keyMin, end: keyMax }, true);
}

function summarize({ moves, blocked }: PlacementAdvice, context: StatementContext): void {
  const bytes = moves.reduce((sum, move) => sum + move.bytes, 0);
  const text = `replicas to be moved: ${moves.length}, bytes to be copied: ${bytes}, blocked ranges: ${blocked.length}`;
  context.notice('NOTICE', '00000', text);
}

function rowsOf(
  { moves, blocked }: PlacementAdvice,
  parts: readonly Part[],
  snapshot: CatalogSnapshot,
): Row[] {
  const place = (at: number): readonly [bigint, string] => {
    const { range, start } = must(parts[at - 1]);
    return [BigInt(range.rangeId), keyText(snapshot, start)];
  };
  const store = (id: StoreId | undefined): bigint | null => (id === undefined ? null : BigInt(id));
  return [
    ...blocked.map(({ rangeId, reason }): Row => [
      'blocked',
      ...place(rangeId),
      null,
      null,
      null,
      null,
      reason,
    ]),
    ...moves.map(({ rangeId, role, from, to, bytes }): Row => [
      from === undefined ? 'add' : to === undefined ? 'remove' : 'move',
      ...place(rangeId),
      role,
      store(from),
      store(to),
      BigInt(bytes),
      null,
    ]),
  ];
}
