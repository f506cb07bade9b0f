/** Look-up of TypeOps by oid. Arrays are made on first use. */
import { sqlError } from '../errors.ts';
import { makeArrayOps, makeRecordOps, makeVectorOps } from './array-ops.ts';
import { datetimeOps } from './datetime-ops.ts';
import { oids } from './oids.ts';
import { scalarOps } from './scalar-ops.ts';
import { isArrayType, typeOf } from './type-table.ts';
import { type TypeOps } from './types.ts';

const byOid = new Map<number, TypeOps>();
for (const ops of [...scalarOps, ...datetimeOps]) byOid.set(ops.type.oid, ops);

/** Throws 42704 for unknown oids and 0A000 for pseudo types without values. */
export function typeOps(oid: number): TypeOps {
  const known = byOid.get(oid);
  if (known !== undefined) return known;
  const made = make(oid);
  byOid.set(oid, made);
  return made;
}

function make(oid: number): TypeOps {
  const type = typeOf(oid);
  if (oid === oids.record) return makeRecordOps(typeOps);
  if (oid === oids.int2vector || oid === oids.oidvector) {
    return makeVectorOps(oid, type.elementOid, typeOps);
  }
  if (isArrayType(oid)) return makeArrayOps(oid, type.elementOid, typeOps);
  throw sqlError('featureNotSupported', `cannot accept a value of type ${type.displayName}`);
}
