/**
 * One tree type for SQL text: PostgreSQL's own parse tree (libpg-query) plus the cluster statements
 * that its grammar lacks, recognised by a small hand-written parser beforehand.
 */
import { type ChangefeedStatement } from './changefeed-parser.ts';
import { type JobStatement } from './jobs-parser.ts';
import { type MembershipStatement } from './membership-parser.ts';
import { type Node } from '@pgsql/types';
import { type IndexTarget, type RangeStatement } from './range-statements.ts';

export interface ParsedStatement {
  readonly statement: Statement;
  /** The statement's own text, without the semicolon. */
  readonly text: string;
  /** Characters in front of it in the whole query string: added to error positions. */
  readonly offset: number;
}

export type Statement =
  | {
      readonly kind: 'postgres';
      readonly node: Node;
      /** UPSERT INTO, parsed as an INSERT: replaces the row with the same primary key. */
      readonly upsert: boolean;
      /** AS OF SYSTEM TIME expression, cut out of the text. */
      readonly asOf: Node | undefined;
    }
  | { readonly kind: 'cluster'; readonly statement: ClusterStatement };

/** Dotted, as written: [catalog,] [schema,] name. */
export type NameParts = readonly string[];

export type ClusterStatement =
  | RangeStatement
  | JobStatement
  | MembershipStatement
  | ChangefeedStatement
  | { readonly kind: 'show-cluster-setting'; readonly name: string }
  | { readonly kind: 'show-cluster-settings'; readonly all: boolean }
  | {
      readonly kind: 'set-cluster-setting';
      readonly name: string;
      readonly value: Node | 'default';
    }
  | ConfigureZone
  /** EXPLAIN ALTER ... CONFIGURE ZONE ..., EXPLAIN ALTER {NODE | STORE} n [, ...] DECOMMISSION. */
  | { readonly kind: 'show-advice'; readonly change: AdvisedChange }
  | { readonly kind: 'show-zone'; readonly target: ZoneTarget }
  | { readonly kind: 'show-zones' }
  | { readonly kind: 'show-events' }
  | { readonly kind: 'show-retries' }
  /** `table` is a CREATE TABLE. */
  | { readonly kind: 'create-partitioned'; readonly table: Node; readonly by: PartitionBy }
  | {
      readonly kind: 'partition-by';
      readonly of: IndexTarget;
      readonly by: PartitionBy | 'nothing';
    }
  | {
      readonly kind: 'show-partitions';
      readonly from: IndexTarget | { readonly kind: 'database'; readonly name: string };
    }
  | {
      readonly kind: 'show-objects';
      readonly what:
        | 'databases'
        | 'schemas'
        | 'tables'
        | 'columns'
        | 'indexes'
        | 'constraints'
        | 'create-table'
        | 'sequences'
        | 'users'
        | 'nodes';
      readonly of: NameParts | undefined;
    };

/** CONFIGURE ZONE USING var = value, ... | DISCARD. */
export interface ConfigureZone {
  readonly kind: 'configure-zone';
  readonly target: ZoneTarget;
  readonly change:
    | {
        readonly kind: 'set';
        readonly values: readonly {
          readonly name: string;
          readonly value: Node | 'copy-from-parent' | 'default';
        }[];
      }
    | { readonly kind: 'discard' };
}

/** Changes of placement that can be explained without being made. */
export type AdvisedChange = ConfigureZone | MembershipStatement;

export type ZoneTarget =
  | { readonly kind: 'range'; readonly name: string }
  | { readonly kind: 'database'; readonly name: string }
  | IndexTarget
  | {
      readonly kind: 'partition';
      readonly partition: string;
      readonly table: NameParts;
      readonly of:
        | { readonly kind: 'primary' }
        | { readonly kind: 'index'; readonly name: string }
        | { readonly kind: 'every-index' };
    };

export interface PartitionBy {
  readonly kind: 'list' | 'range';
  readonly columns: readonly string[];
  readonly partitions: readonly {
    readonly name: string;
    /** Of a list: its values. Of a range: where it begins and what it ends in front of. */
    readonly rows: readonly (readonly PartitionBound[])[];
  }[];
}

export type PartitionBound =
  | { readonly kind: 'expression'; readonly expression: Node }
  | { readonly kind: 'default' | 'min' | 'max' };
