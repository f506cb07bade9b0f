/**
 * Reads the meta records of a range now and then, in a transaction. Range lookups read them without
 * regard for intents, so a descriptor change whose coordinator died half-way would mislead them for ever:
 * nobody else meets its intents. A proper read does, and has the abandoned transaction finished.
 */
import { meta1Start, metaEnd } from '../../encoding/index.ts';
import { KvFailure } from '../../kv/index.ts';
import { maxBytes, minBytes } from '../../util/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';

const rowsPerPage = 1000;
const intervalMs = 10_000;
const lastCheckMs = new WeakMap<Replica, number>();

export async function checkMetaRecords(store: Store, replica: Replica): Promise<void> {
  if (replica.destroyed || !replica.holdsLease) return;
  const { startKey, endKey } = replica.descriptor;
  if (startKey.compare(metaEnd) >= 0) return;
  const nowMs = store.env.clock.monotonicMs();
  if (nowMs - (lastCheckMs.get(replica) ?? -intervalMs) < intervalMs) return;
  lastCheckMs.set(replica, nowMs);
  const end = minBytes(endKey, metaEnd);
  try {
    await store.deps.db.run({ name: 'check-meta', priority: 'low' }, async (txn) => {
      let start = maxBytes(startKey, meta1Start);
      for (;;) {
        const page = await txn.scan({ start, end, maxRows: rowsPerPage });
        if (page.resume === undefined) return;
        start = page.resume.start;
      }
    });
  } catch (error) {
    // The next check is soon.
    if (!(error instanceof KvFailure)) throw error;
  }
}
