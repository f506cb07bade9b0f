/** Backend messages (PostgreSQL 55.7), except DataRow: see row-encoder. */
import { type ResultColumn, type SqlFailure, typeOps } from '../sql/index.ts';
import { type Format } from './row-encoder.ts';
import { type WriteBuffer } from './write-buffer.ts';

/** Message type bytes. */
export const backend = {
  authentication: 0x52,
  parameterStatus: 0x53,
  backendKeyData: 0x4b,
  readyForQuery: 0x5a,
  rowDescription: 0x54,
  parameterDescription: 0x74,
  noData: 0x6e,
  commandComplete: 0x43,
  emptyQuery: 0x49,
  portalSuspended: 0x73,
  parseComplete: 0x31,
  bindComplete: 0x32,
  closeComplete: 0x33,
  error: 0x45,
  notice: 0x4e,
  copyIn: 0x47,
  copyOut: 0x48,
  copyData: 0x64,
  copyDone: 0x63,
  negotiateVersion: 0x76,
} as const;

export const frontend = {
  query: 0x51,
  parse: 0x50,
  bind: 0x42,
  describe: 0x44,
  execute: 0x45,
  close: 0x43,
  flush: 0x48,
  sync: 0x53,
  terminate: 0x58,
  copyData: 0x64,
  copyDone: 0x63,
  copyFail: 0x66,
  functionCall: 0x46,
  password: 0x70,
} as const;

export function writeEmpty(out: WriteBuffer, type: number): void {
  out.begin(type);
  out.end();
}

export function writeAuthentication(out: WriteBuffer, code: number, body: Buffer): void {
  out.begin(backend.authentication);
  out.int32(code);
  out.raw(body);
  out.end();
}

export function writeParameterStatus(out: WriteBuffer, name: string, value: string): void {
  out.begin(backend.parameterStatus);
  out.cstring(name);
  out.cstring(value);
  out.end();
}

export function writeBackendKey(out: WriteBuffer, pid: number, secret: number): void {
  out.begin(backend.backendKeyData);
  out.int32(pid);
  out.int32(secret);
  out.end();
}

export function writeReady(out: WriteBuffer, status: string): void {
  out.begin(backend.readyForQuery);
  out.byte(status.charCodeAt(0));
  out.end();
}

/** Only minor version 0 and no protocol options are known. */
export function writeNegotiateVersion(out: WriteBuffer, options: readonly string[]): void {
  out.begin(backend.negotiateVersion);
  out.int32(0);
  out.int32(options.length);
  for (const option of options) out.cstring(option);
  out.end();
}

export function writeRowDescription(
  out: WriteBuffer,
  columns: readonly ResultColumn[],
  formats: readonly Format[],
): void {
  out.begin(backend.rowDescription);
  out.int16(columns.length);
  for (const [i, column] of columns.entries()) {
    out.cstring(column.name);
    out.int32(column.tableOid);
    out.int16(column.columnNumber);
    out.int32(column.typeOid);
    out.int16(typeOps(column.typeOid).type.length);
    out.int32(column.typmod);
    out.int16(formats[i] ?? 0);
  }
  out.end();
}

export function writeParameterDescription(out: WriteBuffer, types: readonly number[]): void {
  out.begin(backend.parameterDescription);
  out.int16(types.length);
  for (const type of types) out.int32(type);
  out.end();
}

export function writeCommandComplete(out: WriteBuffer, tag: string): void {
  out.begin(backend.commandComplete);
  out.cstring(tag);
  out.end();
}

export function writeCopyResponse(
  out: WriteBuffer,
  type: number,
  columns: number,
  format: Format,
): void {
  out.begin(type);
  out.byte(format);
  out.int16(columns);
  for (let i = 0; i < columns; i++) out.int16(format);
  out.end();
}

export function writeError(
  out: WriteBuffer,
  severity: 'ERROR' | 'FATAL',
  failure: SqlFailure,
): void {
  const { fields } = failure;
  writeReport(out, backend.error, [
    ['S', severity],
    ['V', severity],
    ['C', failure.code],
    ['M', failure.message],
    ['D', fields.detail],
    ['H', fields.hint],
    ['P', fields.position === undefined ? undefined : String(fields.position)],
    ['W', fields.where],
    ['s', fields.schema],
    ['t', fields.table],
    ['c', fields.column],
    ['d', fields.dataType],
    ['n', fields.constraint],
  ]);
}

export function writeNotice(
  out: WriteBuffer,
  severity: string,
  code: string,
  message: string,
): void {
  writeReport(out, backend.notice, [
    ['S', severity],
    ['V', severity],
    ['C', code],
    ['M', message],
  ]);
}

function writeReport(
  out: WriteBuffer,
  type: number,
  fields: readonly (readonly [string, string | undefined])[],
): void {
  out.begin(type);
  for (const [name, value] of fields) {
    if (value === undefined) continue;
    out.byte(name.charCodeAt(0));
    out.cstring(value);
  }
  out.byte(0);
  out.end();
}
