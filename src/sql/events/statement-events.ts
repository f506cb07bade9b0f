/**
 * What one statement changes, object by object. Its rows of system.eventlog are written when it has succeeded, in its own
 * transaction: they exist exactly when its changes do, and cost it no round trip.
 */
import { type Txn } from '../../kv/index.ts';
import { eventlogTable, putRow, type Descriptor } from '../catalog/index.ts';
import { type EvalContext } from '../functions/registry-types.ts';
import { type JobRequest } from '../jobs/index.ts';
import { type EventFields, type EventLog, type LoggedEvent } from './event-log.ts';
import { redactPasswords } from './redact.ts';

/** Tables, views and sequences are one where it is about owners, privileges and names. */
export type EventNoun = 'database' | 'schema' | 'table';

/** CockroachDB's names, and where it has none, names in their manner. */
export type StatementEventType =
  | `${'create' | 'alter' | 'drop'}_${Descriptor['kind'] | 'index' | 'role'}`
  | `rename_${EventNoun}`
  | `alter_${EventNoun}_owner`
  | `change_${EventNoun}_privilege`
  | `comment_on_${EventNoun | 'index' | 'column'}`
  | 'truncate_table'
  | 'set_schema'
  | 'grant_role'
  | 'revoke_role'
  | 'set_cluster_setting'
  | 'set_zone_config'
  | 'remove_zone_config'
  | `${JobRequest}_job`;

/** Characters of a statement that are kept. */
const maxStatementLength = 10_000;

export class StatementEvents {
  readonly #log: EventLog;
  readonly #events: LoggedEvent[] = [];

  constructor(log: EventLog) {
    this.#log = log;
  }

  /** `fields` name the object. */
  record(type: StatementEventType, targetId: number, fields: EventFields): void {
    this.#events.push({ type, targetId, fields });
  }

  /** The statement has done all of it; `text` is the statement, `tag` what it answers. */
  write(
    txn: Txn,
    session: EvalContext,
    statement: { readonly text: string; readonly tag: string },
  ): void {
    if (this.#events.length === 0 || !this.#log.isEnabled) return;
    const text = redactPasswords(statement.text);
    const common = {
      Statement:
        text.length > maxStatementLength ? `${text.slice(0, maxStatementLength)}...` : text,
      Tag: statement.tag,
      User: session.currentUser,
      ApplicationName: session.setting('application_name') ?? '',
    };
    for (const { type, targetId, fields } of this.#events) {
      const row = this.#log.row({
        type,
        targetId,
        fields: { ...common, DescriptorID: targetId, ...fields },
      });
      putRow(txn, eventlogTable, row);
    }
  }
}
