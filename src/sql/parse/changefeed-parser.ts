/** EXPERIMENTAL CHANGEFEED FOR [TABLE] t [, ...] [WITH option [= value] [, ...]]. */
import { type TokenReader } from './scanner.ts';
import { type NameParts } from './types.ts';

export interface ChangefeedStatement {
  readonly kind: 'changefeed';
  readonly tables: readonly NameParts[];
  /** Names in lower case; a value that was not given is undefined. */
  readonly options: readonly { readonly name: string; readonly value: string | undefined }[];
}

/** Undefined for anything else. */
export function changefeed(reader: TokenReader): ChangefeedStatement | undefined {
  if (!reader.take('experimental', 'changefeed')) return undefined;
  reader.expect('for');
  const tables: NameParts[] = [];
  do {
    reader.take('table');
    tables.push(reader.name());
  } while (reader.takeSymbol(','));
  const options: { name: string; value: string | undefined }[] = [];
  if (reader.take('with')) {
    do options.push(option(reader));
    while (reader.takeSymbol(','));
  }
  return { kind: 'changefeed', tables, options };
}

function option(reader: TokenReader): { name: string; value: string | undefined } {
  const name = reader.identifier();
  if (!reader.takeSymbol('=')) return { name, value: undefined };
  const { kind, value } = reader.peek();
  if (kind === 'symbol' || kind === 'end') reader.fail();
  reader.next();
  return { name, value };
}
