/**
 * nextval() of one session. A counter costs a round of consensus, so a statement that asks again and again
 * (INSERT of many rows with a serial column) gets 1, 2, 4, ... values at a time. What a statement did not
 * use is given back before the session's next value, unless another session has taken one since: then
 * it is a gap, as after a rollback.
 */
import { type Db } from '../../kv/index.ts';
import { type SequenceDescriptor } from '../catalog/descriptors.ts';
import { nextValue, reserveValues, returnValues } from '../ddl/index.ts';
import { type StatementContext } from '../session/types.ts';

interface Reservation {
  readonly statement: StatementContext;
  readonly version: number;
  readonly increment: bigint;
  /** The value that is handed out next. */
  next: bigint;
  left: number;
  /** How many were taken the last time. */
  size: number;
}

const reservationMax = 1024;

export class SequenceValues {
  readonly #db: Db;
  readonly #statement: () => StatementContext;
  readonly #reserved = new Map<number, Reservation>();

  constructor(db: Db, statement: () => StatementContext) {
    this.#db = db;
    this.#statement = statement;
  }

  async next(sequence: SequenceDescriptor): Promise<bigint> {
    const statement = this.#statement();
    const held = this.#reserved.get(sequence.id);
    if (held === undefined || held.statement !== statement || held.version !== sequence.version) {
      await this.#giveBack(sequence, held);
      const value = await nextValue(this.#db, sequence);
      const increment = BigInt(sequence.increment);
      const { version } = sequence;
      this.#reserved.set(sequence.id, {
        statement,
        version,
        increment,
        next: value,
        left: 0,
        size: 1,
      });
      return value;
    }
    if (held.left === 0) {
      const size = Math.min(held.size * 2, reservationMax);
      const first = sequence.cycle ? undefined : await reserveValues(this.#db, sequence, size);
      if (first === undefined) return nextValue(this.#db, sequence);
      held.next = first;
      held.left = size;
      held.size = size;
    }
    const value = held.next;
    held.next += held.increment;
    held.left--;
    return value;
  }

  /** The counter was set: what is reserved does not belong to it any more. */
  forget(sequence: SequenceDescriptor): void {
    this.#reserved.delete(sequence.id);
  }

  async #giveBack(sequence: SequenceDescriptor, held: Reservation | undefined): Promise<void> {
    this.#reserved.delete(sequence.id);
    if (held === undefined || held.left === 0) return;
    const used = held.next - held.increment;
    const last = used + held.increment * BigInt(held.left);
    await returnValues(this.#db, sequence, { used, last });
  }
}
