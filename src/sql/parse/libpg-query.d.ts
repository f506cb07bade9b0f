/** The part of libpg-query's module that postgres-grammar.ts uses; the package does not type it. */
declare module 'libpg-query/wasm/libpg-query.js' {
  export interface GrammarModule {
    readonly HEAPU8?: Uint8Array;
    _malloc(bytes: number): number;
    _free(pointer: number): void;
    /** A struct { char *json; char *stderr; struct { char *message, *function, *file; int line, position } *error }. */
    _wasm_parse_query_raw(query: number): number;
    _wasm_free_parse_result(result: number): void;
    getValue(pointer: number, type: 'i32'): number;
    UTF8ToString(pointer: number): string;
    stringToUTF8(text: string, pointer: number, maxBytes: number): void;
  }
  export default function createGrammar(): Promise<GrammarModule>;
}
