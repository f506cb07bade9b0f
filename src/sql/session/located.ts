/** Where in the client's text an error stands. */
import { SqlFailure } from '../errors.ts';
import { characterPosition, type ParsedStatement } from '../parse/index.ts';

/** The text the plan was made from is not the text that was sent: its positions mean nothing there. */
export function withoutPosition(error: unknown): unknown {
  if (!(error instanceof SqlFailure) || error.fields.position === undefined) return error;
  return new SqlFailure(error.code, error.message, { ...error.fields, position: undefined });
}

/** Positions in a tree are bytes of the statement's text; clients count characters of the whole query string. */
export function located(error: unknown, parsed: ParsedStatement): unknown {
  if (!(error instanceof SqlFailure) || error.fields.position === undefined) return error;
  const position = characterPosition(parsed.text, error.fields.position - 1) + parsed.offset;
  return new SqlFailure(error.code, error.message, { ...error.fields, position });
}
