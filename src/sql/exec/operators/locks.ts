/** FOR UPDATE, FOR SHARE. */
import { KvFailure, type WaitPolicy } from '../../../kv/index.ts';
import { must } from '../../../util/index.ts';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { sqlError } from '../../errors.ts';
import { type LockRel } from '../../plan/logical.ts';
import { type LockNode, type Phys, type ScanNode } from '../../plan/physical/types.ts';
import { tableCodec } from '../../row/index.ts';
import { type Row } from '../../types/index.ts';
import { type Compiled } from '../expr/compile.ts';
import { type Plan } from '../operator.ts';
import { rowCount } from './basic.ts';

/** `limit`: rows that are wanted at most; each batch locks only as many as are still missing. */
export function lockPlan(
  input: Plan,
  targets: LockRel['targets'],
  limit: Compiled | undefined,
): Plan {
  const lockers = targets.map((target) => {
    const primary = must(tableCodec(target.table).indexes[0]);
    const positions = target.keyColumns.map((id) => input.layout.indexOf(id));
    return {
      table: target.table,
      options: { lock: target.lock.strength, waitPolicy: target.lock.waitPolicy },
      key: (row: Row): Buffer =>
        primary.encodeKeyPrefix(positions.map((position) => row[position] ?? null)),
    };
  });
  return {
    layout: input.layout,
    open(rt) {
      const source = input.open(rt);
      let read: readonly Row[] = [];
      let missing: number | undefined;
      return {
        async next() {
          missing ??= (await rowCount(limit, rt, 'LIMIT')) ?? Number.POSITIVE_INFINITY;
          while (missing > 0) {
            if (read.length === 0) {
              const batch = await source.next();
              if (batch === undefined) return undefined;
              read = batch;
            }
            let rows = read.slice(0, missing);
            read = read.slice(missing);
            for (const locker of lockers) {
              const keys = rows.map((row) => locker.key(row));
              const values = await naming(locker.table, rt.txn.getMany(keys, locker.options));
              rows = rows.filter((_row, i) => values[i] !== undefined);
            }
            missing -= rows.length;
            if (rows.length > 0) return rows;
            await rt.breathe();
          }
          return undefined;
        },
        close: () => source.close(),
      };
    },
  };
}

/** A scan that locks what it reads without waiting for anybody. */
export function nowaitPlan(input: Plan, table: TableDescriptor): Plan {
  return {
    layout: input.layout,
    open(rt) {
      const source = input.open(rt);
      return { next: () => naming(table, source.next()), close: () => source.close() };
    },
  };
}

/** Whose row it is that cannot be locked at once. */
async function naming<T>(table: TableDescriptor, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (!(error instanceof KvFailure)) throw error;
    const { kvError } = error;
    if (kvError.kind !== 'lock-not-available' || kvError.timedOut) throw error;
    throw sqlError('lockNotAvailable', `could not obtain lock on row in relation "${table.name}"`, {
      table: table.name,
    });
  }
}

/**
 * Scans that look for the rows of NOWAIT and SKIP LOCKED: they do not wait either. Not where a row that is missing would be
 * noticed: on the padded side of an outer join, below a limit.
 */
export function impatientScans({ input, targets }: LockNode): [ScanNode, WaitPolicy][] {
  return rowSources(input).flatMap((scan): [ScanNode, WaitPolicy][] => {
    const target = targets.find(({ keyColumns: [first] }) =>
      scan.columns.some(({ id }) => id === first),
    );
    if (target === undefined || target.lock.waitPolicy === 'block') return [];
    return [[scan, target.lock.waitPolicy]];
  });
}

function rowSources(node: Phys): ScanNode[] {
  switch (node.kind) {
    case 'scan':
      return [node];
    case 'project':
    case 'filter':
    case 'sort':
      return rowSources(node.input);
    case 'hash-join':
    case 'merge-join':
    case 'lookup-join':
    case 'loop-join':
      if (node.type === 'inner') return [...rowSources(node.left), ...rowSources(node.right)];
      return node.type === 'left' ? rowSources(node.left) : [];
    default:
      return [];
  }
}
