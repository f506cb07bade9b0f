/** Statements about ranges: SHOW RANGES, SHOW RANGE and those that steer ranges. */
import { type Node } from '@pgsql/types';
import { type NameParts } from './types.ts';

/** A table stands for its primary index. */
export type IndexTarget =
  | { readonly kind: 'table'; readonly name: NameParts }
  | { readonly kind: 'index'; readonly table: NameParts; readonly index: string }
  /** Found by its own name, which may have a schema in front. */
  | { readonly kind: 'index-name'; readonly name: NameParts };

export type RangesFrom =
  | IndexTarget
  | { readonly kind: 'database'; readonly name: string }
  | { readonly kind: 'current-catalog' }
  /** SHOW CLUSTER RANGES: also ranges that belong to no database. */
  | { readonly kind: 'cluster' };

export type RangesOption = 'tables' | 'indexes' | 'details' | 'keys';

export type RelocatedReplicas = 'lease' | 'voters' | 'non-voters';

export type RangeStatement =
  /** Without options the columns are other ones. */
  | {
      readonly kind: 'show-ranges';
      readonly from: RangesFrom;
      readonly options: readonly RangesOption[];
    }
  /** SHOW RANGE FROM TABLE t FOR ROW (...): `row` is VALUES (...). */
  | { readonly kind: 'show-range'; readonly of: IndexTarget; readonly row: Node }
  /** SPLIT AT VALUES (...)[, ...] | SELECT ... [WITH EXPIRATION expr]. */
  | {
      readonly kind: 'split-at';
      readonly of: IndexTarget;
      readonly rows: Node;
      readonly expiration: Node | undefined;
    }
  | { readonly kind: 'unsplit'; readonly of: IndexTarget; readonly rows: Node | 'all' }
  /** SCATTER [FROM (...) TO (...)]: both are VALUES (...). */
  | {
      readonly kind: 'scatter';
      readonly of: IndexTarget;
      readonly span: { readonly from: Node; readonly to: Node } | undefined;
    }
  /** ALTER RANGE id RELOCATE ..., ALTER RANGE RELOCATE ... FOR SELECT ...; `from` is undefined for a lease. */
  | {
      readonly kind: 'relocate';
      readonly ranges: number | Node;
      readonly what: RelocatedReplicas;
      readonly from: number | undefined;
      readonly to: number;
    }
  /** ALTER TABLE t EXPERIMENTAL_RELOCATE: rows of a list of stores (of one store for a lease) and a key. */
  | {
      readonly kind: 'relocate-rows';
      readonly of: IndexTarget;
      readonly what: RelocatedReplicas;
      readonly rows: Node;
    };
