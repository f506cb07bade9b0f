/** Small readers of libpg-query's tree, whose every field may be absent. */
import { type Node, type RangeVar, type TypeName } from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { type QualifiedName } from '../catalog/index.ts';
import { type SqlType, typeByName, typeOf, typmodFromArgs } from '../types/index.ts';

export interface ColumnType {
  readonly oid: number;
  readonly typmod: number;
}

/** The text of a String node; '' for anything else. */
export function stringOf(node: Node | undefined): string {
  return node !== undefined && 'String' in node ? (node.String.sval ?? '') : '';
}

/** The strings of a list of String nodes. */
export function strings(nodes: readonly Node[] | undefined): string[] {
  return (nodes ?? []).map(stringOf);
}

/** Dotted names come as a List of Strings, a TypeName or a single String. */
export function nameParts(node: Node | undefined): string[] {
  if (node === undefined) return [];
  if ('List' in node) return strings(node.List.items);
  if ('TypeName' in node) return strings(node.TypeName.names);
  if ('RangeVar' in node) return rangeVarParts(node.RangeVar);
  return [stringOf(node)];
}

function rangeVarParts(range: RangeVar): string[] {
  return [range.catalogname, range.schemaname, range.relname].filter(
    (part): part is string => part !== undefined,
  );
}

export function nameOf(parts: readonly string[]): QualifiedName {
  if (parts.length > 3) {
    throw sqlError(
      'syntaxError',
      `improper relation name (too many dotted names): ${parts.join('.')}`,
    );
  }
  return { catalog: parts.at(-3), schema: parts.at(-2), name: parts.at(-1) ?? '' };
}

export function rangeName(range: RangeVar | undefined): QualifiedName {
  return { catalog: range?.catalogname, schema: range?.schemaname, name: range?.relname ?? '' };
}

export function nameText(name: QualifiedName): string {
  return [name.catalog, name.schema, name.name].filter((part) => part !== undefined).join('.');
}

/** Value of a DefElem argument as text: 'x', 5, 1.5, true, a name. Undefined when there is none. */
export function defText(arg: Node | undefined): string | undefined {
  if (arg === undefined) return undefined;
  if ('String' in arg) return arg.String.sval ?? '';
  if ('Integer' in arg) return String(arg.Integer.ival ?? 0);
  if ('Float' in arg) return arg.Float.fval ?? '0';
  if ('Boolean' in arg) return arg.Boolean.boolval === true ? 'true' : 'false';
  if ('A_Const' in arg) return constantText(arg);
  if ('TypeName' in arg || 'List' in arg) return nameParts(arg).join('.');
  if ('ColumnRef' in arg) return strings(arg.ColumnRef.fields).join('.');
  return undefined;
}

export function defBool(arg: Node | undefined): boolean {
  const text = defText(arg);
  return text === undefined || ['true', 'on', 'yes', '1'].includes(text.toLowerCase());
}

/** The value of a constant (or a bare word, or a sign before a number) as text; undefined for NULL. */
export function constantText(node: Node): string | undefined {
  if ('ColumnRef' in node) return strings(node.ColumnRef.fields).join('.');
  if ('TypeCast' in node && node.TypeCast.arg !== undefined) return constantText(node.TypeCast.arg);
  if ('A_Expr' in node && node.A_Expr.lexpr === undefined && node.A_Expr.rexpr !== undefined) {
    return `${strings(node.A_Expr.name).join('')}${constantText(node.A_Expr.rexpr) ?? ''}`;
  }
  if (!('A_Const' in node)) throw sqlError('syntaxError', 'a constant is expected here');
  const constant = node.A_Const;
  if (constant.isnull === true) return undefined;
  if (constant.sval !== undefined) return constant.sval.sval ?? '';
  if (constant.fval !== undefined) return constant.fval.fval ?? '0';
  if (constant.boolval !== undefined) return constant.boolval.boolval === true ? 'true' : 'false';
  if (constant.bsval !== undefined) return constant.bsval.bsval ?? '';
  return String(constant.ival?.ival ?? 0);
}

/** Type oid and modifier of a written type. Throws 42704. */
export function columnType(typeName: TypeName | undefined): ColumnType {
  const names = strings(typeName?.names);
  const last = names.at(-1) ?? '';
  let type: SqlType | undefined = typeByName(last);
  if (type === undefined) {
    throw sqlError('undefinedObject', `type "${names.join('.')}" does not exist`, {
      position: position(typeName?.location),
    });
  }
  const args = (typeName?.typmods ?? []).map((node) => Number(constantText(node)));
  const typmod = args.length === 0 ? -1 : typmodFromArgs(type.oid, args);
  if ((typeName?.arrayBounds ?? []).length > 0) {
    if (type.arrayOid === 0) {
      throw sqlError(
        'undefinedObject',
        `could not find array type for data type ${type.displayName}`,
      );
    }
    type = typeOf(type.arrayOid);
  }
  if (type.category === 'P') {
    throw sqlError('invalidTableDefinition', `column has pseudo-type ${type.displayName}`);
  }
  return { oid: type.oid, typmod };
}

/** 1-based position of a node's byte offset; statements are mostly ASCII, the session corrects for the rest. */
export function position(location: number | undefined): number | undefined {
  return location === undefined || location < 0 ? undefined : location + 1;
}

/** Calls `visit` for every object of the tree that has the key `kind`. */
export function visitNodes(tree: unknown, kind: string, visit: (node: unknown) => void): void {
  if (Array.isArray(tree)) for (const item of tree) visitNodes(item, kind, visit);
  else if (typeof tree === 'object' && tree !== null) {
    for (const [key, value] of Object.entries(tree)) {
      if (key === kind) visit(value);
      visitNodes(value, kind, visit);
    }
  }
}
