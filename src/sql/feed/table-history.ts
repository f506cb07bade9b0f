/**
 * Which definition of a table held when. A row is written under the definition that holds at the timestamp of its transaction
 * (`catalog/cache.ts`), so that is what it is read with: the descriptor is read as of that time. What was found holds for
 * every moment between two at which it was found, as versions only rise.
 */
import { compareTimestamps, laterTimestamp, type Db, type Timestamp } from '../../kv/index.ts';
import { readDescriptor, type TableDescriptor } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';

interface Known {
  from: Timestamp;
  through: Timestamp;
  readonly table: TableDescriptor;
}

/** Older ones are read again when they are needed. */
const keptMax = 8;

export class TableHistory {
  readonly #db: Db;
  readonly #first: TableDescriptor;
  readonly #known: Known[] = [];

  /** `first`: what the feed began with. */
  constructor(db: Db, first: TableDescriptor) {
    this.#db = db;
    this.#first = first;
  }

  /** Throws 55000 when the table was gone by then, or its rows elsewhere. */
  async at(time: Timestamp): Promise<TableDescriptor> {
    for (const { from, through, table } of this.#known) {
      if (compareTimestamps(from, time) <= 0 && compareTimestamps(time, through) <= 0) return table;
    }
    const table = this.#checked(
      await this.#db.run({ name: 'changefeed', asOf: time }, (txn) =>
        readDescriptor(txn, this.#first.id),
      ),
    );
    return this.#keep(time, table);
  }

  #keep(time: Timestamp, table: TableDescriptor): TableDescriptor {
    const same = this.#known.find((known) => known.table.version === table.version);
    if (same === undefined) {
      this.#known.push({ from: time, through: time, table });
      if (this.#known.length > keptMax) this.#known.shift();
      return table;
    }
    same.through = laterTimestamp(same.through, time);
    if (compareTimestamps(time, same.from) < 0) same.from = time;
    return same.table;
  }

  #checked(found: Awaited<ReturnType<typeof readDescriptor>>): TableDescriptor {
    const { name, primaryIndex } = this.#first;
    if (found?.kind !== 'table' || found.state === 'dropped') {
      throw sqlError('objectNotInPrerequisiteState', `table "${name}" was dropped`);
    }
    if (found.primaryIndex.id !== primaryIndex.id) {
      throw sqlError(
        'objectNotInPrerequisiteState',
        `table "${name}" was truncated, or has got another primary key`,
        { hint: 'Begin a new changefeed.' },
      );
    }
    return found;
  }
}
