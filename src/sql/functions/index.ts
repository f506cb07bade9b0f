export { allCasts, canCoerceImplicitly, findCast, lateInputTypes, lookupReg } from './casts.ts';
export { allFunctions, allOperators, functionsByName, isOperatorName } from './registry.ts';
export { type RangeEnds, rangeEndsOf } from './range-frames.ts';
export { referenceTypes, type ReferenceTypes } from './reference-types.ts';
export type {
  AggregateFunction,
  AggregateState,
  Cast,
  CastContext,
  ClientAddress,
  EvalContext,
  EvalHost,
  PartialAggregate,
  RegKind,
  ResolvedCall,
  ScalarFunction,
  SetFunction,
  SqlFunction,
  Volatility,
  WindowFrameView,
  WindowFunction,
} from './registry-types.ts';
export { commonType, resolveFunction, resolveOperator, type ResolveOptions } from './resolve.ts';
