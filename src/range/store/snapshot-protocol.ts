/**
 * The calls that carry a snapshot: begin, its chunks one after the other, end. Each is answered before the next
 * is sent; a refusal ends the snapshot, and the sender begins anew with another one.
 *
 *     sender                              receiver
 *     begin(header)        ------------>  room, no overlap? a staging file     -> token
 *     chunk(0, 1, 2, ...)  ------------>  the next one, undamaged? appended    -> ok
 *     end(count, checksum) ------------>  all of it? durable, handed to raft   -> ok
 */
import { isCount } from '../../util/index.ts';

export const snapshotMethod = 'range-snapshot';

/** Checksums are CRC-32: of a chunk's bytes, and of the bytes of all chunks in their order. */
export type SnapshotRequest =
  | { readonly kind: 'begin'; readonly header: Buffer }
  | {
      readonly kind: 'chunk';
      readonly token: number;
      readonly sequence: number;
      readonly checksum: number;
      readonly data: Buffer;
    }
  | {
      readonly kind: 'end';
      readonly token: number;
      readonly chunks: number;
      readonly checksum: number;
    };

/** `token` names the snapshot in the calls that follow `begin`. */
export type SnapshotAnswer =
  | { readonly ok: true; readonly token: number }
  | { readonly ok: false; readonly reason: string };

export function refuse(reason: string): SnapshotAnswer {
  return { ok: false, reason };
}

/** Undefined for what is not a request. */
export function readRequest(payload: unknown): SnapshotRequest | undefined {
  if (typeof payload !== 'object' || payload === null) return undefined;
  const count = (name: string): number => {
    const value: unknown = Reflect.get(payload, name);
    return isCount(value) ? value : -1;
  };
  const bytes = (name: string): Buffer | undefined => {
    const value: unknown = Reflect.get(payload, name);
    return Buffer.isBuffer(value) ? value : undefined;
  };
  const token = count('token');
  const checksum = count('checksum');
  switch (Reflect.get(payload, 'kind')) {
    case 'begin': {
      const header = bytes('header');
      return header === undefined ? undefined : { kind: 'begin', header };
    }
    case 'chunk': {
      const data = bytes('data');
      const sequence = count('sequence');
      if (data === undefined || token < 0 || checksum < 0 || sequence < 0) return undefined;
      return { kind: 'chunk', token, sequence, checksum, data };
    }
    case 'end': {
      const chunks = count('chunks');
      if (token < 0 || checksum < 0 || chunks < 0) return undefined;
      return { kind: 'end', token, chunks, checksum };
    }
    default:
      return undefined;
  }
}

export function readAnswer(payload: unknown): SnapshotAnswer {
  if (typeof payload !== 'object' || payload === null) return refuse('an answer without sense');
  const token: unknown = Reflect.get(payload, 'token');
  if (Reflect.get(payload, 'ok') === true && isCount(token)) return { ok: true, token };
  const reason: unknown = Reflect.get(payload, 'reason');
  return refuse(typeof reason === 'string' ? reason : 'refused');
}
