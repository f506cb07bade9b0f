/**
 * Receipts are put into the current batch; a batch is closed by beginning the next one, and then reported. A report must
 * never change: who reads that a batch is closed sees all that it will ever have, or else the three transactions are in
 * no order (the anomaly of a transaction that only reads, Fekete, O'Neil and O'Neil 2004).
 */
import { findingsAmong } from './describe.ts';
import { grouped } from './grouped.ts';
import { type Finding, type Recorded } from './history.ts';
import { int, listOf, operations, orNull, tuple, type OperationOf } from './shape.ts';

const shapes = {
  /** Store, receipt, and the batch it went into. */
  receipt: tuple(int, int, orNull(int)),
  /** A store, and the batch that is current from now on. */
  close: tuple(int, orNull(int)),
  /** A store, the current batch, and the receipts of the one before. */
  report: tuple(int, orNull(int), listOf(int)),
};

export type ReceiptsOperation = OperationOf<typeof shapes>;
export const receiptsCodec = operations(shapes);

type Operation = Recorded<ReceiptsOperation>;

/**
 *   missing-receipt    acknowledged in a batch, and not in a report of it
 *   changed-report     two reports of a batch differ
 *   unexpected         a report has what went into another batch, certainly failed, or was never tried
 *   twice-closed       two have begun the same batch
 */
export function checkReceipts(history: readonly Operation[]): Finding[] {
  const stores = grouped(history, ({ what }) => what.value[0]);
  return [...stores.values()].flatMap(checkStore);
}

function checkStore(history: readonly Operation[]): Finding[] {
  const { findings, found } = findingsAmong(receiptsCodec);
  const receipts = new Map<number, { readonly batch: number | null; readonly by: Operation }>();
  const closings = new Map<number, Operation>();
  /** By batch. */
  const reports = new Map<
    number,
    { readonly listed: ReadonlySet<number>; readonly by: Operation }
  >();
  for (const operation of history) {
    const { what, outcome } = operation;
    if (what.kind === 'receipt') {
      receipts.set(what.value[1], { batch: what.value[2], by: operation });
    } else if (what.kind === 'close' && outcome === 'ok') {
      const begun = what.value[1] ?? 0;
      if (closings.has(begun)) found('twice-closed', closings.get(begun), operation);
      closings.set(begun, operation);
    }
  }
  for (const operation of history) {
    const { what, outcome } = operation;
    if (what.kind !== 'report' || outcome !== 'ok' || what.value[1] === null) continue;
    const closed = what.value[1] - 1;
    const listed = new Set(what.value[2]);
    const other = reports.get(closed);
    if (other === undefined) reports.set(closed, { listed, by: operation });
    else if (listed.size !== other.listed.size || [...listed].some((id) => !other.listed.has(id))) {
      found('changed-report', other.by, operation);
    }
    for (const id of listed) {
      const receipt = receipts.get(id);
      const isOther = receipt?.batch !== null && receipt?.batch !== closed;
      if (receipt === undefined || receipt.by.outcome === 'fail' || isOther) {
        found('unexpected', receipt?.by, operation);
      }
    }
  }
  for (const [id, { batch, by }] of receipts) {
    const report = by.outcome === 'ok' ? reports.get(batch ?? NaN) : undefined;
    if (report !== undefined && !report.listed.has(id)) found('missing-receipt', by, report.by);
  }
  return findings;
}
