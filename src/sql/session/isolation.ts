/** How a transaction of a client runs: isolation level and access modes (PostgreSQL 13.2), and what they ask of the keys. */
import { type Node } from '@pgsql/types';
import { type IsolationLevel } from '../../kv/index.ts';
import { sqlError, type SqlFailure } from '../errors.ts';

/** What SHOW prints. READ UNCOMMITTED keeps its name and behaves as READ COMMITTED. */
export const isolationLevels = [
  'read uncommitted',
  'read committed',
  'repeatable read',
  'serializable',
] as const;

export type SqlIsolation = (typeof isolationLevels)[number];

export interface TransactionModes {
  readonly isolation: SqlIsolation;
  readonly readOnly: boolean;
  /** Shown; a transaction that only reads never waits for a snapshot here. */
  readonly deferrable: boolean;
}

/** Undefined for what is no level. */
export function isolationNamed(name: string): SqlIsolation | undefined {
  return isolationLevels.find((level) => level === name);
}

export function kvIsolation(level: SqlIsolation): IsolationLevel {
  switch (level) {
    case 'read uncommitted':
    case 'read committed':
      return 'read-committed';
    case 'repeatable read':
      return 'snapshot';
    case 'serializable':
      return 'serializable';
  }
}

/** Of a mode that is settled with the first query. */
export function tooLateFor(mode: string): SqlFailure {
  return sqlError(
    'activeSqlTransaction',
    `SET TRANSACTION ${mode} must be called before any query`,
  );
}

/** The settings that `BEGIN ...` and `SET TRANSACTION ...` name, with their values. */
export function modesOf(options: readonly Node[]): { name: string; value: string }[] {
  return options.flatMap((option) => {
    if (!('DefElem' in option)) return [];
    const { defname = '', arg } = option.DefElem;
    if (arg === undefined || !('A_Const' in arg)) return [];
    const constant = arg.A_Const;
    const value = constant.sval?.sval ?? ((constant.ival?.ival ?? 0) === 0 ? 'off' : 'on');
    return [{ name: defname, value }];
  });
}
