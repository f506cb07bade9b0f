/**
 * Checking the rows of a table that other sessions write to. In a transaction block, and for tables that are new or
 * empty, the check is part of the transaction. Otherwise the constraint is committed first, so that it holds for
 * every new row; then a read-only transaction, which disturbs nobody, looks at the rows that were there; and if one
 * of them breaks the constraint, the constraint is taken back.
 */
import {
  changeCatalog,
  type CatalogWriter,
  type DescriptorId,
  type TableDescriptor,
} from '../catalog/index.ts';
import { isEmptyTable } from './backfill.ts';
import { type Ddl } from './context.ts';
import { recordStep } from './object-events.ts';

export interface RowCheck {
  readonly description: string;
  readonly tableId: DescriptorId;
  /** Reads through `ddl.context.txn`; throws when a row breaks the constraint. */
  readonly check: (ddl: Ddl) => Promise<void>;
  /** What success and failure of a check behind the commit make of the table. */
  readonly accept?: (table: TableDescriptor) => TableDescriptor;
  readonly undo?: (writer: CatalogWriter, table: TableDescriptor) => void;
}

/** True when existing rows are to be looked at behind the commit. */
export async function isCheckedLater(ddl: Ddl, table: TableDescriptor): Promise<boolean> {
  const { context, writer } = ddl;
  if (!context.autocommit || writer.isNew(table.id)) return false;
  return !(await isEmptyTable(context.txn, table));
}

export function checkLater(ddl: Ddl, options: RowCheck): void {
  const { context, catalog } = ddl;
  context.ddl.add({
    description: options.description,
    run: async () => {
      const txn = context.db.begin({ name: 'check rows', priority: 'low' });
      try {
        await options.check({ ...ddl, context: { ...context, txn } });
      } catch (error) {
        const { undo } = options;
        if (undo !== undefined) {
          await change((writer, table) => {
            recordStep(ddl, writer, table, error instanceof Error ? error.message : String(error));
            undo(writer, table);
          });
        }
        throw error;
      } finally {
        await txn.rollback();
      }
      const { accept } = options;
      if (accept !== undefined) {
        await change((writer, table) => {
          recordStep(ddl, writer, table);
          writer.replace(accept(table), { drain: false });
        });
      }
    },
  });

  async function change(
    apply: (writer: CatalogWriter, table: TableDescriptor) => void,
  ): Promise<void> {
    const settings = { name: 'finish check', pin: catalog.pinned };
    await changeCatalog(catalog.cache, settings, async (writer) => {
      const table = writer.snapshot.tableById(options.tableId);
      if (table !== undefined) apply(writer, table);
    });
  }
}
