import { type Node } from '@pgsql/types';
import { type ParsedStatement } from '../parse/index.ts';

/** A statement inside another one: its tree keeps the positions of the outer text. */
export function innerStatement(node: Node, text: string): ParsedStatement {
  return {
    statement: { kind: 'postgres', node, upsert: false, asOf: undefined },
    text,
    offset: 0,
  };
}
