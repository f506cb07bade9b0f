/** The value of SET name = ... as text, from its tree. */
import { type Node } from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { settingDefinitions } from './setting-definitions.ts';

export function settingText(name: string, args: readonly Node[]): string {
  const definition = settingDefinitions.get(name.toLowerCase());
  const isList = definition?.type.kind === 'name-list';
  const values = args.map((arg) => argumentText(arg));
  if (isList) return values.map((value) => quoteIfNeeded(value)).join(', ');
  if (values.length > 1 && definition?.type.kind !== 'date-style') {
    if (definition !== undefined && definition.type.kind !== 'string') {
      throw sqlError('invalidParameterValue', `SET ${name} takes only one argument`);
    }
  }
  return values.join(', ');
}

function argumentText(node: Node): string {
  if ('TypeCast' in node && node.TypeCast.arg !== undefined) {
    // SET TIME ZONE INTERVAL '2' HOUR: a fixed offset.
    const text = constantText(node.TypeCast.arg);
    const hours = Number(text);
    return Number.isNaN(hours) ? text : offsetText(hours);
  }
  return constantText(node);
}

function offsetText(hours: number): string {
  const minutes = Math.round(Math.abs(hours) * 60);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${hours < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

export function constantText(node: Node): string {
  if (!('A_Const' in node)) throw sqlError('syntaxError', 'a constant is expected');
  const constant = node.A_Const;
  if (constant.sval !== undefined) return constant.sval.sval ?? '';
  if (constant.ival !== undefined) return String(constant.ival.ival ?? 0);
  if (constant.fval !== undefined) return constant.fval.fval ?? '0';
  if (constant.boolval !== undefined) return constant.boolval.boolval === true ? 'on' : 'off';
  return '';
}

/** Splits a list of names: unquoted ones in lower case. Throws 22023. */
export function splitNames(text: string): string[] {
  const names: string[] = [];
  let at = 0;
  const skipBlanks = (): void => {
    while (at < text.length && /\s/.test(text[at] ?? '')) at++;
  };
  skipBlanks();
  while (at < text.length) {
    if (text[at] === '"') {
      let name = '';
      for (at++; at < text.length; at++) {
        if (text[at] === '"') {
          if (text[at + 1] !== '"') break;
          at++;
        }
        name += text[at] ?? '';
      }
      at++;
      names.push(name);
    } else {
      const end = text.slice(at).search(/[\s,]/);
      const stop = end < 0 ? text.length : at + end;
      names.push(text.slice(at, stop).toLowerCase());
      at = stop;
    }
    skipBlanks();
    if (at >= text.length) break;
    if (text[at] !== ',') throw sqlError('invalidParameterValue', 'list syntax is invalid');
    at++;
    skipBlanks();
  }
  return names;
}

export function quoteIfNeeded(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
