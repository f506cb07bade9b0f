/** UPDATE t SET a[i] = v: the whole array with one element replaced. */
import { type ResTarget } from '@pgsql/types';
import { type ColumnDescriptor } from '../../catalog/descriptors.ts';
import { sqlError } from '../../errors.ts';
import { type ScalarFunction } from '../../functions/registry-types.ts';
import { ArrayDatum, type Datum, oids, typeOps } from '../../types/index.ts';
import { type Expr, int4Oid } from '../expr.ts';
import { type ExprContext, failAt, typeName } from './binder.ts';
import { coerceToColumn, tryCoerce } from './coerce.ts';
import { bindExpr, locationOf } from './context.ts';

const maxElements = 134_217_727;

export function assignElement(
  c: ExprContext,
  target: ResTarget,
  column: ColumnDescriptor,
  array: Expr,
  value: Expr,
): Expr {
  const { elementOid } = typeOps(column.typeOid).type;
  const [item, second] = target.indirection ?? [];
  if (elementOid === 0) {
    throw failAt(
      'datatypeMismatch',
      `cannot subscript type ${typeName(column.typeOid)} because it does not support subscripting`,
      target.location,
    );
  }
  if (
    item === undefined ||
    !('A_Indices' in item) ||
    item.A_Indices.is_slice === true ||
    second !== undefined
  ) {
    throw failAt(
      'featureNotSupported',
      'only one-dimensional elements can be assigned',
      target.location,
    );
  }
  const { uidx } = item.A_Indices;
  const index = tryCoerce(c.binder, bindExpr(c, uidx), int4Oid, { context: 'assignment' });
  if (index === undefined) {
    throw failAt('datatypeMismatch', 'array subscript must have type integer', locationOf(uidx));
  }
  const element = coerceToColumn(
    c.binder,
    value,
    { ...column, typeOid: elementOid },
    target.location,
  );
  return {
    kind: 'call',
    type: column.typeOid,
    typmod: column.typmod,
    fn: setter(column.typeOid, elementOid),
    args: [array, index, element],
    callTypes: [column.typeOid, int4Oid, elementOid, column.typeOid],
  };
}

/** Not in the registry: it has no SQL name. */
function setter(arrayOid: number, elementOid: number): ScalarFunction {
  return {
    kind: 'scalar',
    name: 'array_set_element',
    oid: 0,
    args: [arrayOid, int4Oid, elementOid],
    variadic: false,
    result: arrayOid,
    volatility: 'immutable',
    strict: false,
    async: false,
    call: ([array = null, index = null, value = null]) =>
      setElement(array, index, value, elementOid),
  };
}

/** An array grows to hold the index; what lies between is NULL. */
function setElement(array: Datum, index: Datum, value: Datum, elementOid: number): Datum {
  if (typeof index !== 'number') {
    throw sqlError('nullValueNotAllowed', 'array subscript in assignment must not be null');
  }
  if (!(array instanceof ArrayDatum) || array.elements.length === 0) {
    return new ArrayDatum(elementOid, [value], [{ length: 1, lowerBound: index }]);
  }
  const [dimension] = array.dimensions;
  if (dimension === undefined || array.dimensions.length !== 1) {
    throw sqlError('arraySubscriptError', 'wrong number of array subscripts');
  }
  const lower = Math.min(dimension.lowerBound, index);
  const length = Math.max(dimension.lowerBound + dimension.length, index + 1) - lower;
  if (length > maxElements) {
    throw sqlError(
      'programLimitExceeded',
      `array size exceeds the maximum allowed (${maxElements})`,
    );
  }
  const elements: Datum[] = Array.from<Datum>({ length }).fill(null);
  for (const [i, element] of array.elements.entries()) {
    elements[dimension.lowerBound - lower + i] = element;
  }
  elements[index - lower] = value;
  return new ArrayDatum(elementOid, elements, [{ length, lowerBound: lower }]);
}

/** A name is an array of "char" that counts from 0: `typname[0] = '_'` in catalog queries. */
export function nameByte(arg: Expr, index: Expr): Expr {
  return {
    kind: 'call',
    type: oids.char,
    typmod: -1,
    fn: nameElement,
    args: [arg, index],
    callTypes: [oids.name, int4Oid, oids.char],
  };
}

const nameElement: ScalarFunction = {
  kind: 'scalar',
  name: 'name_element',
  oid: 0,
  args: [oids.name, int4Oid],
  variadic: false,
  result: oids.char,
  volatility: 'immutable',
  strict: true,
  async: false,
  call: ([name = null, index = null]) =>
    typeof name === 'string' && typeof index === 'number' ? (name[index] ?? null) : null,
};
