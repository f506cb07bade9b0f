/**
 * Sequences: CREATE and ALTER SEQUENCE, the sequences behind SERIAL and IDENTITY, and the counter itself.
 *
 * The counter is one key outside of transactions (as in PostgreSQL, values are never given back): an 8-byte
 * integer that holds the last value handed out, so that `db.increment` makes the next one in one step. A sequence
 * that was never used holds start - increment.
 */
import { type AlterSeqStmt, type CreateSeqStmt, type Node } from '@pgsql/types';
import { KeyWriter, writeIndexPrefix } from '../../encoding/index.ts';
import { type Db, type Txn } from '../../kv/index.ts';
import {
  quoteIdentifier,
  quoteLiteral,
  type SchemaDescriptor,
  type SequenceDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementResult } from '../session/types.ts';
import { oids } from '../types/index.ts';
import {
  done,
  findNamed,
  noRelation,
  relationExists,
  schemaForCreate,
  type Ddl,
} from './context.ts';
import { requireColumn } from './draft.ts';
import { columnType, defBool, defText, nameOf, nameParts, rangeName } from './nodes.ts';
import { recordObject } from './object-events.ts';

const typeLimits = new Map<number, readonly [min: bigint, max: bigint]>([
  [oids.int2, [-32768n, 32767n]],
  [oids.int4, [-2147483648n, 2147483647n]],
  [oids.int8, [-9223372036854775808n, 9223372036854775807n]],
]);

export function sequenceKey(id: number): Buffer {
  return writeIndexPrefix(new KeyWriter(), { tableId: id, indexId: 1 }).uint(0).finish();
}

function counterBytes(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt.asIntN(64, value));
  return bytes;
}

/** The counter's value when `next` is to be handed out next. */
function before(next: bigint, sequence: SequenceDescriptor): bigint {
  return next - BigInt(sequence.increment);
}

// Definition.

export interface SequenceOptions {
  readonly increment?: bigint;
  /** null: NO MINVALUE. */
  readonly minValue?: bigint | null;
  readonly maxValue?: bigint | null;
  readonly start?: bigint;
  /** null: RESTART without a value. */
  readonly restart?: bigint | null;
  readonly cache?: bigint;
  readonly cycle?: boolean;
  readonly typeOid?: number;
  /** Empty: OWNED BY NONE. */
  readonly ownedBy?: readonly string[];
  readonly name?: readonly string[];
}

export function sequenceOptions(nodes: readonly Node[] | undefined): SequenceOptions {
  let options: SequenceOptions = {};
  const seen = new Set<string>();
  for (const node of nodes ?? []) {
    if (!('DefElem' in node)) continue;
    const { defname = '', arg } = node.DefElem;
    if (seen.has(defname)) throw sqlError('syntaxError', 'conflicting or redundant options');
    seen.add(defname);
    const text = defText(arg);
    const number = text === undefined || !/^[+-]?\d+$/.test(text) ? null : BigInt(text);
    switch (defname) {
      case 'increment':
        options = { ...options, increment: number ?? 1n };
        break;
      case 'minvalue':
        options = { ...options, minValue: number };
        break;
      case 'maxvalue':
        options = { ...options, maxValue: number };
        break;
      case 'start':
        options = { ...options, start: number ?? 1n };
        break;
      case 'restart':
        options = { ...options, restart: number };
        break;
      case 'cache':
        options = { ...options, cache: number ?? 1n };
        break;
      case 'cycle':
        options = { ...options, cycle: defBool(arg) };
        break;
      case 'as':
        if (arg !== undefined && 'TypeName' in arg) {
          options = { ...options, typeOid: columnType(arg.TypeName).oid };
        }
        break;
      case 'owned_by': {
        const parts = nameParts(arg);
        options = { ...options, ownedBy: parts[0] === 'none' && parts.length === 1 ? [] : parts };
        break;
      }
      case 'sequence_name':
        options = { ...options, name: nameParts(arg) };
        break;
      default:
        throw sqlError('featureNotSupported', `sequence option "${defname}" is not supported`);
    }
  }
  return options;
}

/** Fills in defaults and checks limits, as PostgreSQL's init_params(). Throws 22023. */
export function applyOptions(
  sequence: SequenceDescriptor,
  options: SequenceOptions,
  isNew: boolean,
): SequenceDescriptor {
  const invalid = (message: string): never => {
    throw sqlError('invalidParameterValue', message);
  };
  const typeOid = options.typeOid ?? sequence.typeOid;
  const limits =
    typeLimits.get(typeOid) ?? invalid('sequence type must be smallint, integer, or bigint');
  const increment = options.increment ?? BigInt(sequence.increment);
  if (increment === 0n) invalid('INCREMENT must not be zero');
  const isAscending = increment > 0n;
  const oldLimits = typeLimits.get(sequence.typeOid) ?? limits;
  const defaultMax = isAscending ? limits[1] : -1n;
  const defaultMin = isAscending ? 1n : limits[0];
  const bound = (given: bigint | null | undefined, old: string, fallback: bigint): bigint => {
    if (given !== undefined) return given ?? fallback;
    const wasDefault = isNew || (typeOid !== sequence.typeOid && oldLimits.includes(BigInt(old)));
    return wasDefault ? fallback : BigInt(old);
  };
  const maxValue = bound(options.maxValue, sequence.maxValue, defaultMax);
  const minValue = bound(options.minValue, sequence.minValue, defaultMin);
  const typeName =
    typeOid === oids.int2 ? 'smallint' : typeOid === oids.int4 ? 'integer' : 'bigint';
  for (const [word, value] of [
    ['MAXVALUE', maxValue],
    ['MINVALUE', minValue],
  ] as const) {
    if (value < limits[0] || value > limits[1]) {
      invalid(`${word} (${value}) is out of range for sequence data type ${typeName}`);
    }
  }
  if (minValue >= maxValue) {
    invalid(`MINVALUE (${minValue}) must be less than MAXVALUE (${maxValue})`);
  }
  const start =
    options.start ?? (isNew ? (isAscending ? minValue : maxValue) : BigInt(sequence.start));
  if (start < minValue)
    invalid(`START value (${start}) cannot be less than MINVALUE (${minValue})`);
  if (start > maxValue)
    invalid(`START value (${start}) cannot be greater than MAXVALUE (${maxValue})`);
  const cache = options.cache ?? BigInt(sequence.cache);
  if (cache < 1n) invalid(`CACHE (${cache}) must be greater than zero`);
  return {
    ...sequence,
    typeOid,
    increment: String(increment),
    minValue: String(minValue),
    maxValue: String(maxValue),
    start: String(start),
    cache: String(cache),
    cycle: options.cycle ?? sequence.cycle,
  };
}

/** Makes a sequence and its counter. */
export async function makeSequence(
  ddl: Ddl,
  schema: SchemaDescriptor,
  name: string,
  options: SequenceOptions,
  ownedBy?: SequenceDescriptor['ownedBy'],
): Promise<SequenceDescriptor> {
  const blank: SequenceDescriptor = {
    kind: 'sequence',
    id: await ddl.writer.newId(),
    version: 1,
    databaseId: schema.databaseId,
    schemaId: schema.id,
    name,
    owner: ddl.context.eval.currentUser,
    typeOid: oids.int8,
    start: '1',
    increment: '1',
    minValue: '1',
    maxValue: '1',
    cycle: false,
    cache: '1',
    ...(ownedBy === undefined ? {} : { ownedBy }),
  };
  const sequence = applyOptions(blank, options, true);
  ddl.writer.create(sequence);
  recordObject(ddl, 'create', sequence);
  // Outside the transaction, as every later step of the counter: nobody else knows the id yet, and
  // nextval() may be called before the commit. A rollback leaves a counter that nothing refers to.
  await ddl.context.db.run({ name: 'create sequence' }, async (txn) => {
    restartSequence(txn, sequence);
  });
  return sequence;
}

/** Sets the counter back to START inside the transaction. */
export function restartSequence(txn: Txn, sequence: SequenceDescriptor): void {
  txn.put(sequenceKey(sequence.id), counterBytes(before(BigInt(sequence.start), sequence)));
}

/** DEFAULT text of a column fed by a sequence. */
export function nextvalText(ddl: Ddl, sequence: SequenceDescriptor): string {
  const schema = ddl.catalog.snapshot.schemaName(sequence.schemaId);
  const name = `${quoteIdentifier(schema)}.${quoteIdentifier(sequence.name)}`;
  return `nextval(${quoteLiteral(name)}::regclass)`;
}

export async function createSequence(ddl: Ddl, stmt: CreateSeqStmt): Promise<StatementResult> {
  const name = rangeName(stmt.sequence);
  const schema = schemaForCreate(ddl, name);
  if (ddl.catalog.snapshot.named(schema.id, name.name) !== undefined) {
    if (stmt.if_not_exists !== true) throw relationExists(name.name);
    ddl.context.notice('NOTICE', '42P07', `relation "${name.name}" already exists, skipping`);
    return done('CREATE SEQUENCE');
  }
  const options = sequenceOptions(stmt.options);
  const sequence = await makeSequence(ddl, schema, name.name, options);
  if (options.ownedBy !== undefined) setOwner(ddl, sequence, options.ownedBy);
  return done('CREATE SEQUENCE');
}

/** OWNED BY table.column, or NONE. */
function setOwner(ddl: Ddl, sequence: SequenceDescriptor, parts: readonly string[]): void {
  releaseOwner(ddl, sequence);
  const { ownedBy: _, ...free } = sequence;
  if (parts.length === 0) {
    ddl.writer.replace(free);
    return;
  }
  const columnName = parts.at(-1) ?? '';
  const tableName = nameOf(parts.slice(0, -1));
  const table = ddl.catalog.findNamed(tableName);
  if (table === undefined) throw noRelation(tableName);
  if (table.kind !== 'table') {
    throw sqlError('wrongObjectType', `sequence cannot be owned by relation "${tableName.name}"`);
  }
  if (table.schemaId !== sequence.schemaId) {
    throw sqlError(
      'objectNotInPrerequisiteState',
      'sequence must be in same schema as table it is linked to',
    );
  }
  const column = requireColumn(table, columnName);
  const owned = [...(column.ownedSequenceIds ?? []), sequence.id];
  ddl.writer.replace(
    {
      ...table,
      columns: table.columns.map((old) =>
        old.id === column.id ? { ...old, ownedSequenceIds: owned } : old,
      ),
    },
    { drain: false },
  );
  ddl.writer.replace({ ...free, ownedBy: { tableId: table.id, columnId: column.id } });
}

/** The owning column forgets the sequence. */
export function releaseOwner(ddl: Ddl, sequence: SequenceDescriptor): void {
  if (sequence.ownedBy === undefined) return;
  const table = ddl.catalog.snapshot.tableById(sequence.ownedBy.tableId);
  if (table === undefined) return;
  ddl.writer.replace(
    {
      ...table,
      columns: table.columns.map((column) =>
        column.ownedSequenceIds === undefined
          ? column
          : {
              ...column,
              ownedSequenceIds: column.ownedSequenceIds.filter((id) => id !== sequence.id),
            },
      ),
    },
    { drain: false },
  );
}

export async function alterSequence(ddl: Ddl, stmt: AlterSeqStmt): Promise<StatementResult> {
  const name = rangeName(stmt.sequence);
  if (stmt.missing_ok === true && ddl.catalog.findNamed(name) === undefined) {
    ddl.context.notice('NOTICE', '42P01', `relation "${name.name}" does not exist, skipping`);
    return done('ALTER SEQUENCE');
  }
  const sequence = findNamed(ddl, stmt.sequence);
  if (sequence.kind !== 'sequence') {
    throw sqlError('wrongObjectType', `"${name.name}" is not a sequence`);
  }
  alterSequenceWith(ddl, sequence, sequenceOptions(stmt.options));
  return done('ALTER SEQUENCE');
}

export function alterSequenceWith(
  ddl: Ddl,
  sequence: SequenceDescriptor,
  options: SequenceOptions,
): void {
  const changed = ddl.writer.replace(applyOptions(sequence, options, false));
  recordObject(ddl, 'alter', changed);
  if (options.ownedBy !== undefined) setOwner(ddl, changed, options.ownedBy);
  if (options.restart !== undefined) {
    const next = options.restart ?? BigInt(changed.start);
    if (next < BigInt(changed.minValue) || next > BigInt(changed.maxValue)) {
      const [word, limit] =
        next < BigInt(changed.minValue)
          ? ['less than MINVALUE', changed.minValue]
          : ['greater than MAXVALUE', changed.maxValue];
      throw sqlError(
        'invalidParameterValue',
        `RESTART value (${next}) cannot be ${word} (${limit})`,
      );
    }
    ddl.context.txn.put(sequenceKey(changed.id), counterBytes(before(next, changed)));
  } else if (options.increment !== undefined && options.increment !== BigInt(sequence.increment)) {
    // The counter means "last value handed out" only for sequences that were used; both forms agree after one value.
    ddl.context.ddl.add({
      description: 'fit the counter to the new increment',
      run: () => keepNext(ddl.context.db, sequence, changed),
    });
  }
}

/** A sequence that was never used must still begin with START after its increment changed. */
async function keepNext(
  db: Db,
  old: SequenceDescriptor,
  changed: SequenceDescriptor,
): Promise<void> {
  await db.run({ name: 'alter sequence' }, async (txn) => {
    const bytes = await txn.get(sequenceKey(old.id), { lock: 'update' });
    if (bytes?.equals(counterBytes(before(BigInt(old.start), old))) === true) {
      restartSequence(txn, changed);
    }
  });
}

// Values.

const maxAttempts = 3;

/** The next value. Throws 2200H at the end of a sequence that does not cycle. */
export async function nextValue(db: Db, sequence: SequenceDescriptor): Promise<bigint> {
  const increment = BigInt(sequence.increment);
  const max = BigInt(sequence.maxValue);
  const min = BigInt(sequence.minValue);
  const key = sequenceKey(sequence.id);
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const value = BigInt.asIntN(64, await db.increment(key, increment));
    // Wrapping around at the ends of int64 gives a value on the wrong side.
    const isInside =
      value >= min && value <= max && (increment > 0n ? value - increment < value : true);
    if (isInside) return value;
    if (!sequence.cycle) {
      await db.increment(key, -increment);
      const [word, limit] = increment > 0n ? ['maximum', max] : ['minimum', min];
      throw sqlError(
        'sequenceGeneratorLimitExceeded',
        `nextval: reached ${word} value of sequence "${sequence.name}" (${limit})`,
      );
    }
    const first = increment > 0n ? min : max;
    await db.run({ name: 'cycle sequence' }, async (txn) => {
      const bytes = await txn.get(key, { lock: 'update' });
      const now = bytes?.readBigInt64BE() ?? 0n;
      if (now < min || now > max) txn.put(key, counterBytes(before(first, sequence)));
    });
  }
  throw sqlError('sequenceGeneratorLimitExceeded', `could not cycle sequence "${sequence.name}"`);
}

/**
 * Takes `count` values at once; the first one, or undefined when the sequence does not have so many left
 * before its end (then take them one by one).
 */
export async function reserveValues(
  db: Db,
  sequence: SequenceDescriptor,
  count: number,
): Promise<bigint | undefined> {
  const increment = BigInt(sequence.increment);
  const span = increment * BigInt(count);
  const key = sequenceKey(sequence.id);
  const last = await db.increment(key, span);
  const first = last - span + increment;
  const isInside =
    increment > 0n
      ? first <= last && last <= BigInt(sequence.maxValue)
      : first >= last && last >= BigInt(sequence.minValue);
  if (isInside) return first;
  await db.increment(key, -span);
  return undefined;
}

/** Gives back the values behind `used` when nobody has taken one since `last` was reserved. */
export async function returnValues(
  db: Db,
  sequence: SequenceDescriptor,
  values: { readonly used: bigint; readonly last: bigint },
): Promise<void> {
  await db.run({ name: 'return sequence values' }, async (txn) => {
    const key = sequenceKey(sequence.id);
    const bytes = await txn.get(key, { lock: 'update' });
    if (bytes?.equals(counterBytes(values.last)) === true) txn.put(key, counterBytes(values.used));
  });
}

/** setval(). Throws 22003 outside the bounds. */
export async function setValue(
  db: Db,
  sequence: SequenceDescriptor,
  value: bigint,
  isCalled: boolean,
): Promise<bigint> {
  if (value < BigInt(sequence.minValue) || value > BigInt(sequence.maxValue)) {
    throw sqlError(
      'numericValueOutOfRange',
      `setval: value ${value} is out of bounds for sequence "${sequence.name}" (${sequence.minValue}..${sequence.maxValue})`,
    );
  }
  await db.run({ name: 'setval' }, async (txn) => {
    txn.put(sequenceKey(sequence.id), counterBytes(isCalled ? value : before(value, sequence)));
  });
  return value;
}

/** Last value handed out; undefined when none was. */
export async function lastValue(db: Db, sequence: SequenceDescriptor): Promise<bigint | undefined> {
  const bytes = await db.readCurrent(sequenceKey(sequence.id));
  if (bytes === undefined) return undefined;
  const value = bytes.readBigInt64BE();
  return value === before(BigInt(sequence.start), sequence) ? undefined : value;
}
