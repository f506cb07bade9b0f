/**
 * A value as LevelDB stores it: the bytes, then a CRC-32 of key and value (4 bytes, little-endian).
 * LevelDB verifies no block on reading, and compaction gives rotten blocks fresh checksums (trap L4);
 * including the key also catches a value that stands under the wrong one.
 */
import { crc32 } from 'node:zlib';
import { CorruptionError } from './engine.ts';

const sealBytes = 4;

export function sealValue(key: Buffer, value: Buffer): Buffer {
  const out = Buffer.allocUnsafe(value.length + sealBytes);
  value.copy(out);
  out.writeUInt32LE(crc32(value, crc32(key)), value.length);
  return out;
}

/** The value without its seal, sharing memory. Throws CorruptionError when the seal does not fit. */
export function openSealed(key: Buffer, stored: Buffer): Buffer {
  const length = stored.length - sealBytes;
  if (length >= 0) {
    const value = stored.subarray(0, length);
    if (crc32(value, crc32(key)) === stored.readUInt32LE(length)) return value;
  }
  throw new CorruptionError(
    `a stored value fails its checksum (engine key ${key.toString('hex')})`,
  );
}
