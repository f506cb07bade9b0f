/**
 * PostgreSQL's own grammar: the C parser compiled to WebAssembly (libpg-query), bound directly.
 *
 * The module runs on the caller's stack. When a statement nests too deeply, the stack overflows inside
 * it and leaves its memory in an unknown state, so such an instance is thrown away; a spare one stands
 * ready, because making one takes a turn of the event loop and parsing is synchronous. An instance that a huge statement
 * has made large is replaced the same way: WebAssembly memory never shrinks.
 */
import { type ParseResult, type RawStmt } from '@pgsql/types';
import createGrammar, { type GrammarModule } from 'libpg-query/wasm/libpg-query.js';
import { sqlError, sqlStates, SqlFailure } from '../errors.ts';

/** An instance whose memory has grown by more than this is replaced after use. */
const maxGrowthBytes = 64 * 1024 * 1024;

let current: GrammarModule | undefined;
let spare: GrammarModule | undefined;
let initialBytes = 0;
let loading: Promise<void> | undefined;

/** Loads the grammar before the first `parsePostgres`; later, waits until a replaced instance is there again. */
export function loadGrammar(): Promise<void> {
  loading ??= load();
  return loading;
}

async function load(): Promise<void> {
  current = await createGrammar();
  initialBytes = memoryBytes(current);
  spare = await createGrammar();
}

function replaceInstance(): void {
  current = spare;
  spare = undefined;
  const refill = async (made: Promise<GrammarModule>): Promise<void> => {
    const instance = await made;
    if (current === undefined) current = instance;
    else spare ??= instance;
  };
  loading = refill(createGrammar());
}

/**
 * Raw parse trees of all statements of `text`. Node locations are UTF-8 byte offsets in `text`; the
 * position of an error is in characters, from 1. Throws 42601, 54001, 22021.
 */
export function parsePostgres(text: string): readonly RawStmt[] {
  const grammar = current;
  if (grammar === undefined) {
    throw sqlError('cannotConnectNow', 'the SQL parser is not loaded yet');
  }
  if (text.includes('\0')) {
    throw sqlError('characterNotInRepertoire', 'invalid byte sequence for encoding "UTF8": 0x00');
  }
  try {
    return run(grammar, text);
  } catch (error) {
    if (error instanceof SqlFailure) throw error;
    replaceInstance();
    if (error instanceof RangeError) throw tooDeep();
    throw sqlError('outOfMemory', 'out of memory', {
      detail: 'The statement is too large to parse.',
    });
  }
}

function run(grammar: GrammarModule, text: string): readonly RawStmt[] {
  const maxBytes = text.length * 3 + 1;
  const query = grammar._malloc(maxBytes);
  if (query === 0) throw new Error('no memory for the statement');
  grammar.stringToUTF8(text, query, maxBytes);
  const result = grammar._wasm_parse_query_raw(query);
  grammar._free(query);
  if (result === 0) throw new Error('no memory for the parse tree');
  const errorAt = grammar.getValue(result + 8, 'i32');
  if (errorAt !== 0) {
    const message = grammar.UTF8ToString(grammar.getValue(errorAt, 'i32'));
    const position = grammar.getValue(errorAt + 16, 'i32');
    grammar._wasm_free_parse_result(result);
    throw failure(message, position);
  }
  const json = grammar.UTF8ToString(grammar.getValue(result, 'i32'));
  grammar._wasm_free_parse_result(result);
  if (memoryBytes(grammar) > initialBytes + maxGrowthBytes) replaceInstance();
  const tree: ParseResult = JSON.parse(json);
  return tree.stmts ?? [];
}

function failure(message: string, position: number): SqlFailure {
  if (message.startsWith('memory exhausted')) return tooDeep();
  return new SqlFailure(sqlStates.syntaxError, message, position > 0 ? { position } : {});
}

function tooDeep(): SqlFailure {
  return sqlError('statementTooComplex', 'stack depth limit exceeded', {
    hint: 'The statement nests expressions or queries too deeply.',
  });
}

function memoryBytes(grammar: GrammarModule): number {
  return grammar.HEAPU8?.length ?? 0;
}
