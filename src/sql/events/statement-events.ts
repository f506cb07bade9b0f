/**
 * What one statement changes, object by object. Its rows of system.eventlog are written when it has succeeded, in its own
 * transaction: they exist exactly when its changes do, and cost it no round trip.
 */
import { type Txn } from '../../kv/index.ts';
import { type Descriptor } from '../catalog/index.ts';
import { type EvalContext } from '../functions/registry-types.ts';
import { type JobRequest } from '../jobs/index.ts';
import { type EventFields, type EventLog, type LoggedEvent } from './event-log.ts';
import { loggedText } from './statement-text.ts';

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
  | `${JobRequest}_job`
  | StepEventType;

/** Of work behind the commit: it has come to its end, or is taken back. */
export type StepEventType = 'finish_schema_change' | 'reverse_schema_change';

export class StatementEvents {
  readonly #log: EventLog;
  readonly #session: EvalContext;
  readonly #text: string;
  readonly #events: LoggedEvent[] = [];
  #tag = '';

  constructor(log: EventLog, session: EvalContext, text: string) {
    this.#log = log;
    this.#session = session;
    this.#text = text;
  }

  /** `fields` name the object. */
  record(type: StatementEventType, targetId: number, fields: EventFields): void {
    this.#events.push({ type, targetId, fields });
  }

  /** The statement has done all that it does in `txn`; `tag` is what it answers. */
  write(txn: Txn, tag: string): void {
    this.#tag = tag;
    for (const event of this.#events) this.#put(txn, event);
  }

  /** Of a step behind the commit of the statement, in the step's transaction. */
  writeStep(txn: Txn, type: StepEventType, targetId: number, fields: EventFields): void {
    this.#put(txn, { type, targetId, fields });
  }

  #put(txn: Txn, { type, targetId, fields }: LoggedEvent): void {
    this.#log.write(txn, {
      type,
      targetId,
      fields: { ...this.#common(), DescriptorID: targetId, ...fields },
    });
  }

  #common(): EventFields {
    const { currentUser, client } = this.#session;
    return {
      Statement: loggedText(this.#text),
      Tag: this.#tag,
      User: currentUser,
      ApplicationName: this.#session.setting('application_name') ?? '',
      ...(client === undefined ? {} : { RemoteAddress: `${client.host}:${client.port}` }),
    };
  }
}
