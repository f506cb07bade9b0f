/** Transaction ids as PostgreSQL shows them: what fits of the 16 bytes, of which the first ones are the time of birth. */
import { type TxnId } from '../../kv/index.ts';

/** 60 bits: the time of birth and what tells apart those of one microsecond. */
export function fullXidOf(id: TxnId): bigint {
  return BigInt(`0x${id.slice(0, 15)}`);
}

/** Type xid: the lower 32 bits of that. */
export function xidOf(id: TxnId): number {
  return Number(BigInt.asUintN(32, fullXidOf(id)));
}
