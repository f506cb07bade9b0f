/** Ids are branded numbers: a NodeId cannot stand where a StoreId is asked for. */

declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

export type NodeId = Branded<'NodeId'>;
export type StoreId = Branded<'StoreId'>;
export type RangeId = Branded<'RangeId'>;
/** Unique within a range and never used twice: a replica that was removed and added again gets a new one. */
export type ReplicaId = Branded<'ReplicaId'>;

export const asNodeId = (value: number): NodeId => value as NodeId;
export const asStoreId = (value: number): StoreId => value as StoreId;
export const asRangeId = (value: number): RangeId => value as RangeId;
export const asReplicaId = (value: number): ReplicaId => value as ReplicaId;

/** 16 bytes as 32 lower-case hex digits, see `newTxnId`. */
export type TxnId = string & { readonly [brand2]: 'TxnId' };
declare const brand2: unique symbol;
export const asTxnId = (value: string): TxnId => value as TxnId;
