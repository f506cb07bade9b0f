/** Functions of bytea, encodings and digests. */
import { createHash } from 'node:crypto';
import { sqlError } from '../errors.ts';
import { asBigint, asBuffer, asNumber, asText } from '../types/index.ts';
import { parseBytea, charCount } from '../types/scalar-text.ts';
import { decodeUtf8 } from '../types/scalar-ops.ts';
import { type Args, scalar } from './define.ts';
import { type ScalarFunction } from './registry-types.ts';

function t(args: Args, i = 0): string {
  return asText(args[i]);
}

function n(args: Args, i = 0): number {
  return asNumber(args[i]);
}

export function substringBytes(bytes: Buffer, start: number, length: number | undefined): Buffer {
  const from = Math.max(start - 1, 0);
  if (length === undefined) return Buffer.from(bytes.subarray(from));
  if (length < 0) throw sqlError('substringError', 'negative substring length not allowed');
  const end = Math.max(start - 1 + length, 0);
  return Buffer.from(bytes.subarray(from, Math.max(from, end)));
}

export function trimBytes(bytes: Buffer, set: Buffer, left: boolean, right: boolean): Buffer {
  let start = 0;
  let end = bytes.length;
  if (left) while (start < end && set.includes(bytes[start] ?? 0)) start++;
  if (right) while (end > start && set.includes(bytes[end - 1] ?? 0)) end--;
  return Buffer.from(bytes.subarray(start, end));
}

function digest(algorithm: string): (bytes: Buffer) => Buffer {
  return (bytes) => createHash(algorithm).update(bytes).digest();
}

function encode(bytes: Buffer, format: string): string {
  switch (format.toLowerCase()) {
    case 'hex':
      return bytes.toString('hex');
    case 'base64':
      return bytes.toString('base64').replace(/.{76}(?=.)/g, '$&\n');
    case 'escape':
      return Array.from(bytes, (byte) => {
        if (byte === 92) return '\\\\';
        return byte === 0 || byte > 127
          ? `\\${byte.toString(8).padStart(3, '0')}`
          : String.fromCharCode(byte);
      }).join('');
    default:
      throw sqlError('invalidParameterValue', `unrecognized encoding: "${format}"`);
  }
}

function decode(text: string, format: string): Buffer {
  switch (format.toLowerCase()) {
    case 'hex': {
      const body = text.replace(/[ \n\t\r]/g, '');
      const wrong = /[^0-9a-fA-F]/.exec(body);
      if (wrong !== null) {
        throw sqlError('invalidParameterValue', `invalid hexadecimal digit: "${wrong[0]}"`);
      }
      if (body.length % 2 !== 0) {
        throw sqlError('invalidParameterValue', 'invalid hexadecimal data: odd number of digits');
      }
      return Buffer.from(body, 'hex');
    }
    case 'base64': {
      const body = text.replace(/[ \n\t\r]/g, '');
      const wrong = /[^A-Za-z0-9+/=]/.exec(body);
      if (wrong !== null) {
        throw sqlError(
          'invalidParameterValue',
          `invalid symbol "${wrong[0]}" found while decoding base64 sequence`,
        );
      }
      if (body.length % 4 !== 0) {
        throw sqlError('invalidParameterValue', 'invalid base64 end sequence', {
          hint: 'Input data is missing padding, is truncated, or is otherwise corrupted.',
        });
      }
      return Buffer.from(body, 'base64');
    }
    case 'escape':
      return parseBytea(text.startsWith('\\x') ? `\\134${text.slice(1)}` : text);
    default:
      throw sqlError('invalidParameterValue', `unrecognized encoding: "${format}"`);
  }
}

function checkIndex(index: bigint, size: bigint): number {
  if (index < 0n || index >= size) {
    throw sqlError('arraySubscriptError', `index ${index} out of valid range, 0..${size - 1n}`);
  }
  return Number(index);
}

function setByte(bytes: Buffer, index: number, value: number): Buffer {
  const out = Buffer.from(bytes);
  out[checkIndex(BigInt(index), BigInt(bytes.length))] = value & 255;
  return out;
}

function setBit(bytes: Buffer, index: bigint, value: number): Buffer {
  const at = checkIndex(index, BigInt(bytes.length) * 8n);
  if (value !== 0 && value !== 1) throw sqlError('invalidParameterValue', 'new bit must be 0 or 1');
  const out = Buffer.from(bytes);
  const byte = out[at >> 3] ?? 0;
  out[at >> 3] = value === 1 ? byte | (1 << (at & 7)) : byte & ~(1 << (at & 7));
  return out;
}

function bitCount(bytes: Buffer): bigint {
  let count = 0;
  for (const byte of bytes) for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return BigInt(count);
}

export const bytesFunctions: readonly ScalarFunction[] = [
  scalar('length(bytea) int4', (a) => asBuffer(a[0]).length),
  scalar('length(bytea,name) int4', (a) => charCount(decodeUtf8(asBuffer(a[0])))),
  scalar('octet_length(bytea) int4', (a) => asBuffer(a[0]).length),
  scalar('bit_length(bytea) int4', (a) => asBuffer(a[0]).length * 8),
  scalar('||(bytea,bytea) bytea', (a) => Buffer.concat([asBuffer(a[0]), asBuffer(a[1])])),
  scalar('encode(bytea,text) text', (a) => encode(asBuffer(a[0]), t(a, 1))),
  scalar('decode(text,text) bytea', (a) => decode(t(a), t(a, 1))),
  scalar('md5(text) text', (a) => digest('md5')(Buffer.from(t(a))).toString('hex')),
  scalar('md5(bytea) text', (a) => digest('md5')(asBuffer(a[0])).toString('hex')),
  ...(['sha224', 'sha256', 'sha384', 'sha512'] as const).map((name) =>
    scalar(`${name}(bytea) bytea`, (a) => digest(name)(asBuffer(a[0]))),
  ),
  scalar('get_byte(bytea,int4) int4', (a) => {
    const bytes = asBuffer(a[0]);
    return bytes[checkIndex(BigInt(n(a, 1)), BigInt(bytes.length))] ?? 0;
  }),
  scalar('set_byte(bytea,int4,int4) bytea', (a) => setByte(asBuffer(a[0]), n(a, 1), n(a, 2))),
  scalar('get_bit(bytea,int8) int4', (a) => {
    const bytes = asBuffer(a[0]);
    const at = checkIndex(asBigint(a[1]), BigInt(bytes.length) * 8n);
    return ((bytes[at >> 3] ?? 0) >> (at & 7)) & 1;
  }),
  scalar('set_bit(bytea,int8,int4) bytea', (a) => setBit(asBuffer(a[0]), asBigint(a[1]), n(a, 2))),
  scalar('bit_count(bytea) int8', (a) => bitCount(asBuffer(a[0]))),
  scalar('overlay(bytea,bytea,int4) bytea', (a) =>
    overlayBytes(asBuffer(a[0]), asBuffer(a[1]), n(a, 2), asBuffer(a[1]).length),
  ),
  scalar('overlay(bytea,bytea,int4,int4) bytea', (a) =>
    overlayBytes(asBuffer(a[0]), asBuffer(a[1]), n(a, 2), n(a, 3)),
  ),
  scalar('convert_from(bytea,name) text', (a) => {
    if (/^latin-?1$|^iso_?8859_?1$/i.test(t(a, 1))) return asBuffer(a[0]).toString('latin1');
    checkEncoding(t(a, 1));
    return decodeUtf8(asBuffer(a[0]));
  }),
  scalar('convert_to(text,name) bytea', (a) => {
    if (/^latin-?1$|^iso_?8859_?1$/i.test(t(a, 1))) return Buffer.from(t(a), 'latin1');
    checkEncoding(t(a, 1));
    return Buffer.from(t(a), 'utf8');
  }),
];

function checkEncoding(name: string): void {
  if (!/^(utf-?8|unicode|sql_?ascii)$/i.test(name)) {
    throw sqlError('invalidParameterValue', `invalid encoding name "${name}"`);
  }
}

function overlayBytes(bytes: Buffer, part: Buffer, start: number, length: number): Buffer {
  if (start <= 0) throw sqlError('substringError', 'negative substring length not allowed');
  const tail = bytes.subarray(Math.max(start + length - 1, 0));
  return Buffer.concat([bytes.subarray(0, start - 1), part, tail]);
}
