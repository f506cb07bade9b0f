/** The asynchronous side of evaluation: sequences, names and oids, catalog functions, row ids. One per session. */
import { type Savepoint, type Txn } from '../../kv/index.ts';
import { SessionCatalog, type SequenceDescriptor } from '../catalog/index.ts';
import { setValue } from '../ddl/index.ts';
import { SequenceValues } from './sequence-values.ts';
import { sqlError } from '../errors.ts';
import { allFunctions, allOperators, type EvalHost, type RegKind } from '../functions/index.ts';
import { type StatementContext } from '../session/types.ts';
import { formatType, oids, typeByName, typeByOid } from '../types/index.ts';
import { AdvisoryLocks } from './advisory-locks.ts';
import { checkConsistency } from './consistency.ts';
import { callCatalogFunction } from './catalog-functions.ts';
import { parseName } from './names.ts';
import { ioFunctions } from './pg-types.ts';
import { relationsOf, schemaOids } from './relations.ts';
import { sourceOf } from './build.ts';

export interface EvalHostInputs {
  readonly catalog: SessionCatalog;
  /** The statement that runs now. */
  readonly context: () => StatementContext;
  /** lock_timeout; 0: without limit. */
  readonly lockTimeoutMs: () => number;
}

export interface SessionHost extends EvalHost {
  uniqueRowId(): bigint;
  /** The name of a value of regclass, regproc, ... for output; undefined when there is none. */
  nameOf(typeOid: number, value: number): string | undefined;
  /** currval() and lastval() are not defined any more. */
  forgetSequences(): void;
  /** Gives back what the session holds beyond its transactions (advisory locks); DISCARD ALL and the session's end. */
  close(): Promise<void>;
  /** Of the session's locks: they wait while the transaction of its statements does. */
  readonly ownTransactions: readonly Txn[];
  /** A statement begins, or is run again. */
  beginStatement(): void;
  /** Gives back what the statement has taken beyond its transaction, to run it again; false: it cannot be. */
  undoStatement(): Promise<boolean>;
  /** What `work` takes is not the statement's. */
  apart(work: () => Promise<void>): Promise<void>;
  /** The open transaction went back to a savepoint, or altogether. */
  transactionWentBack(to: Savepoint | undefined): Promise<void>;
  /** The open transaction is over, one way or another. */
  transactionEnded(): Promise<void> | undefined;
  /** Some advisory lock is held for `txn` and for the session, or only by the session for it. */
  holdsForBoth(txn: Txn): boolean;
}

export function createEvalHost(inputs: EvalHostInputs): SessionHost {
  const { catalog } = inputs;
  const { cache } = catalog;
  const current = new Map<number, bigint>();
  const locks = new AdvisoryLocks(cache.env, cache.db, inputs.lockTimeoutMs);
  const values = new SequenceValues(cache.db, inputs.context);
  let last: number | undefined;

  const find = (sequence: string | number): SequenceDescriptor => {
    const found =
      typeof sequence === 'number'
        ? catalog.snapshot.byId(sequence)
        : catalog.findNamed(parseName(sequence));
    if (found === undefined) {
      throw sqlError('undefinedTable', `relation "${sequence}" does not exist`);
    }
    if (found.kind !== 'sequence') {
      const name = found.kind === 'index' ? found.index.name : found.name;
      throw sqlError('wrongObjectType', `"${name}" is not a sequence`);
    }
    return found;
  };

  const uniqueRowId = rowIds(cache.nodeId, () => cache.env.clock.wallMicros());
  return {
    async nextval(name) {
      if (name === rowIdSequence.oid || name === rowIdSequence.name) return uniqueRowId();
      const sequence = find(name);
      const value = await values.next(sequence);
      current.set(sequence.id, value);
      last = sequence.id;
      return value;
    },
    async currval(name) {
      const sequence = find(name);
      const value = current.get(sequence.id);
      if (value !== undefined) return value;
      throw sqlError(
        'objectNotInPrerequisiteState',
        `currval of sequence "${sequence.name}" is not yet defined in this session`,
      );
    },
    async setval(name, value, isCalled) {
      const sequence = find(name);
      values.forget(sequence);
      await setValue(cache.db, sequence, value, isCalled);
      if (isCalled) current.set(sequence.id, value);
      return value;
    },
    async lastval() {
      const value = last === undefined ? undefined : current.get(last);
      if (value !== undefined) return value;
      throw sqlError('objectNotInPrerequisiteState', 'lastval is not yet defined in this session');
    },
    lookupOid: async (kind, name) => lookupOid(catalog, inputs.context(), kind, name),
    lookupName: async (kind, oid) => lookupName(catalog, kind, oid),
    checkConsistency: (statsOnly, start, end) =>
      checkConsistency(inputs.context(), { statsOnly, start, end }),
    catalogFunction: (name, args) => callCatalogFunction(name, args, inputs.context(), locks),
    uniqueRowId,
    nameOf: (typeOid, value) => {
      const kind = regKinds.get(typeOid);
      return kind === undefined ? undefined : lookupName(catalog, kind, value);
    },
    forgetSequences: () => {
      current.clear();
      last = undefined;
    },
    close: () => locks.releaseAll(),
    get ownTransactions() {
      return locks.transactions;
    },
    beginStatement: () => locks.beginStatement(),
    undoStatement: () => locks.undoStatement(),
    apart: (work) => locks.apart(work),
    transactionWentBack: (to) => locks.transactionWentBack(to),
    transactionEnded: () => locks.transactionEnded(),
    holdsForBoth: (txn) => locks.isBoundTo(txn),
  };
}

/** The built-in sequence behind hidden row ids: `nextval('pg_catalog.unique_rowid')`. */
const rowIdSequence = { name: 'pg_catalog.unique_rowid', oid: 13_100 } as const;

/** Bits of a row id below the time: the node that made it. */
const nodeBits = 15n;
/** 2015-01-01 in units of ten microseconds: ids stay positive for centuries. */
const rowIdEpoch = 142_007_040_000_000;
/** Per node, not per session: two sessions of one node must not make the same id. */
const lastTicks = new Map<number, number>();

/** Ten-microsecond ticks, each given out once per node, then the node id: `now` in Unix microseconds. */
function rowIds(nodeId: number, now: () => number): () => bigint {
  return () => {
    const tick = Math.max(Math.floor(now() / 10) - rowIdEpoch, (lastTicks.get(nodeId) ?? 0) + 1);
    lastTicks.set(nodeId, tick);
    return (BigInt(tick) << nodeBits) | BigInt(nodeId % 32_768);
  };
}

export function lookupOid(
  catalog: SessionCatalog,
  context: StatementContext,
  kind: RegKind,
  text: string,
): number | undefined {
  const name = kind === 'regtype' ? { name: text, schema: undefined } : parseName(text);
  const builtin = name.schema === undefined || name.schema === 'pg_catalog';
  switch (kind) {
    case 'regclass': {
      if (text === rowIdSequence.name) return rowIdSequence.oid;
      const virtualSchemas =
        name.schema === undefined ? ['pg_catalog', ...catalog.searchPath] : [name.schema];
      for (const schema of virtualSchemas) {
        const table = catalog.virtual.find(schema, name.name);
        if (table !== undefined) return table.oid;
        const named = catalog.findNamed({ schema, name: name.name });
        if (named === undefined || (name.schema === undefined && schema === 'pg_catalog')) continue;
        if (named.kind !== 'index') return named.id;
        const source = sourceOf(context);
        return relationsOf(source, catalog.virtual.tables).all.find(
          (entry) =>
            entry.kind === 'i' &&
            entry.table.id === named.table.id &&
            entry.index.id === named.index.id,
        )?.oid;
      }
      return undefined;
    }
    case 'regtype':
      return typeByName(text.replace(/^pg_catalog\./, '').replaceAll('"', ''))?.oid;
    case 'regnamespace': {
      const { database } = catalog;
      return (
        schemaOids[name.name] ??
        (database === undefined ? undefined : catalog.snapshot.schema(database.id, name.name)?.id)
      );
    }
    case 'regrole':
      return catalog.snapshot.data.roles.get(name.name)?.oid;
    case 'regproc':
      return builtin
        ? (allFunctions().find((fn) => fn.name === name.name)?.oid ?? ioFunctions.get(name.name))
        : undefined;
    case 'regprocedure': {
      const base = parseName(text.replace(/\(.*$/, '')).name;
      const wanted = /\((.*)\)/.exec(text)?.[1] ?? '';
      const types =
        wanted.trim() === '' ? [] : wanted.split(',').map((type) => typeByName(type.trim())?.oid);
      return allFunctions().find(
        (fn) =>
          fn.name === base &&
          fn.args.length === types.length &&
          fn.args.every((oid, at) => oid === types[at]),
      )?.oid;
    }
    case 'regoper':
      return allOperators().find((operator) => operator.name === text)?.oid;
    default:
      return undefined;
  }
}

const regKinds: ReadonlyMap<number, RegKind> = new Map([
  [oids.regclass, 'regclass'],
  [oids.regproc, 'regproc'],
  [oids.regprocedure, 'regprocedure'],
  [oids.regoper, 'regoper'],
  [oids.regoperator, 'regoperator'],
  [oids.regnamespace, 'regnamespace'],
  [oids.regrole, 'regrole'],
]);

function lookupName(catalog: SessionCatalog, kind: RegKind, oid: number): string | undefined {
  switch (kind) {
    case 'regclass': {
      const { snapshot, database } = catalog;
      const source = { snapshot, databaseId: database?.id ?? 0 };
      const entry = relationsOf(source, catalog.virtual.tables).byOid.get(oid);
      if (entry === undefined) return undefined;
      if (entry.kind === 'virtual') {
        return entry.virtual.schema === 'pg_catalog'
          ? entry.name
          : `${entry.virtual.schema}.${entry.name}`;
      }
      return catalog.nameText({ schemaId: entry.schemaOid, name: entry.name });
    }
    case 'regtype':
      return typeByOid(oid) === undefined ? undefined : formatType(oid);
    case 'regnamespace':
      return (
        Object.entries(schemaOids).find(([, schemaOid]) => schemaOid === oid)?.[0] ??
        catalog.snapshot.byId(oid)?.name
      );
    case 'regrole':
      return [...catalog.snapshot.data.roles.values()].find((role) => role.oid === oid)?.name;
    case 'regproc':
      return (
        allFunctions().find((fn) => fn.oid === oid)?.name ??
        [...ioFunctions].find(([, ioOid]) => ioOid === oid)?.[0]
      );
    case 'regprocedure': {
      const fn = allFunctions().find((candidate) => candidate.oid === oid);
      return fn === undefined
        ? undefined
        : `${fn.name}(${fn.args.map((arg) => formatType(arg)).join(',')})`;
    }
    case 'regoper':
    case 'regoperator':
      return allOperators().find((operator) => operator.oid === oid)?.name;
    default:
      return undefined;
  }
}
