/** Which past the statements and transaction blocks of a session read: AS OF SYSTEM TIME, evaluated. */
import { type Node } from '@pgsql/types';
import { addMicros, type HlcClock, type Timestamp } from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import { type EvalContext } from '../functions/registry-types.ts';
import { asOfTimestamp, type AsOf } from './as-of.ts';
import { StalenessSearch } from './staleness-search.ts';

export interface Past {
  readonly at: Timestamp;
  /** See TxnOptions. */
  readonly nearest: boolean;
}

export interface PastReadsParts {
  readonly clock: HlcClock;
  readonly eval: EvalContext;
  /** How far follower_read_timestamp() is behind. */
  readonly followerLagMicros: () => number;
}

export class PastReads {
  readonly #parts: PastReadsParts;
  /** Of the statement that is running. */
  #search: StalenessSearch | undefined;

  constructor(parts: PastReadsParts) {
    this.#parts = parts;
  }

  /** Old enough that followers know all about it, if all goes well. */
  followerReadTimestamp(): Timestamp {
    const { clock, followerLagMicros } = this.#parts;
    return addMicros(clock.now(), -followerLagMicros());
  }

  /** BEGIN and SET TRANSACTION. */
  ofBlock(asOf: Node): Timestamp {
    const past = this.#evaluate(asOf);
    if (past.kind === 'bounded') throw boundedInBlock();
    return past.at;
  }

  /** A statement begins that has not begun before. */
  begin(): void {
    this.#search = undefined;
  }

  /** Of one statement; one of bounded staleness that stands `alone` may begin again, further back. */
  ofStatement(asOf: Node, where: { readonly alone: boolean; readonly inBlock: boolean }): Past {
    const past = this.#evaluate(asOf);
    if (past.kind === 'exact') return { at: past.at, nearest: false };
    if (where.inBlock) throw boundedInBlock();
    const search = this.#search ?? new StalenessSearch(past, this.followerReadTimestamp());
    if (!where.alone) return { at: search.at, nearest: past.nearestOnly };
    this.#search = search;
    return { at: search.at, nearest: search.isNearest };
  }

  /** True: the statement has to begin again, because a replica is behind. */
  mustStepBack(error: unknown): boolean {
    return this.#search?.mustStepBack(error) === true;
  }

  #evaluate(asOf: Node): AsOf {
    const { clock, eval: context, followerLagMicros } = this.#parts;
    return asOfTimestamp(asOf, { clock, eval: context, followerLagMicros: followerLagMicros() });
  }
}

function boundedInBlock(): Error {
  return sqlError(
    'featureNotSupported',
    'bounded staleness is for single statements, not for transaction blocks',
  );
}
