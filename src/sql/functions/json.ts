/** JSON functions and operators (chapter 9.16). */
import { sqlError } from '../errors.ts';
import {
  defaultFormat,
  asArray,
  asBool,
  asJsonNode,
  asNumber,
  asRecord,
  asText,
  type Datum,
  isArrayType,
  isJsonArray,
  isJsonObject,
  Jsonb,
  type JsonNode,
  makeJsonObject,
  Numeric,
  oids,
  type Row,
  typeOf,
} from '../types/index.ts';
import { compareJsonb, isJson, quoteJson } from '../types/json.ts';
import { type Args, scalar, setFunction, stable, type Types } from './define.ts';
import { arrayToJson, keyText, recordToJson, toJsonNode, toJsonText } from './json-output.ts';
import { elementOf, fieldOf, followPath, type JsonView, viewOf } from './json-view.ts';
import { type EvalContext, type ScalarFunction, type SetFunction } from './registry-types.ts';

function textArray(value: Datum | undefined): (string | null)[] {
  return asArray(value).elements.map((item) => (item === null ? null : asText(item)));
}

function datumOf(view: JsonView | undefined): Datum {
  return view === undefined ? null : view.datum();
}

function textOf(view: JsonView | undefined): Datum {
  return view === undefined ? null : view.text();
}

function invalid(message: string): Error {
  return sqlError('invalidParameterValue', message);
}

function variadicTexts(a: Args): (string | null)[] {
  return a.slice(1).map((item) => (item === null ? null : asText(item)));
}

// --------------------------------------------------------------- what json and jsonb share

function access(type: 'json' | 'jsonb'): ScalarFunction[] {
  const prefix = type;
  return [
    scalar(`->(${type},text) ${type}`, (a) => datumOf(fieldOf(viewOf(a[0]), asText(a[1])))),
    scalar(`->(${type},int4) ${type}`, (a) => datumOf(elementOf(viewOf(a[0]), asNumber(a[1])))),
    scalar(`->>(${type},text) text`, (a) => textOf(fieldOf(viewOf(a[0]), asText(a[1])))),
    scalar(`->>(${type},int4) text`, (a) => textOf(elementOf(viewOf(a[0]), asNumber(a[1])))),
    scalar(`#>(${type},text[]) ${type}`, (a) => datumOf(followPath(viewOf(a[0]), textArray(a[1])))),
    scalar(`#>>(${type},text[]) text`, (a) => textOf(followPath(viewOf(a[0]), textArray(a[1])))),
    scalar(`${prefix}_extract_path(${type},...text) ${type}`, (a) =>
      datumOf(followPath(viewOf(a[0]), variadicTexts(a))),
    ),
    scalar(`${prefix}_extract_path_text(${type},...text) text`, (a) =>
      textOf(followPath(viewOf(a[0]), variadicTexts(a))),
    ),
    scalar(`${prefix}_object_field(${type},text) ${type}`, (a) =>
      datumOf(fieldOf(viewOf(a[0]), asText(a[1]))),
    ),
    scalar(`${prefix}_object_field_text(${type},text) text`, (a) =>
      textOf(fieldOf(viewOf(a[0]), asText(a[1]))),
    ),
    scalar(`${prefix}_typeof(${type}) text`, (a) => viewOf(a[0]).kind),
    scalar(`${prefix}_array_length(${type}) int4`, (a) => arrayLength(viewOf(a[0]))),
  ];
}

function arrayLength(view: JsonView): number {
  if (view.kind === 'array') return view.items.length;
  throw invalid(`cannot get array length of a ${view.kind === 'object' ? 'non-array' : 'scalar'}`);
}

function expectArray(view: JsonView, name: string): JsonView {
  if (view.kind === 'array') return view;
  const isObject = view.kind === 'object';
  if (name.startsWith('jsonb')) {
    throw invalid(`cannot extract elements from ${isObject ? 'an object' : 'a scalar'}`);
  }
  throw invalid(`cannot call ${name} on a ${isObject ? 'non-array' : 'scalar'}`);
}

function expectObject(view: JsonView, name: string): JsonView {
  if (view.kind === 'object') return view;
  const what = view.kind === 'array' ? 'an array' : 'a scalar';
  if (name.endsWith('_object_keys')) throw invalid(`cannot call ${name} on ${what}`);
  if (name.startsWith('jsonb')) throw invalid(`cannot call ${name} on a non-object`);
  throw invalid(`cannot deconstruct ${what}${view.kind === 'array' ? ' as an object' : ''}`);
}

function setAccess(type: 'json' | 'jsonb'): SetFunction[] {
  const rows = (values: readonly Datum[]): Row[] => values.map((value) => [value]);
  return [
    setFunction(
      `${type}_array_elements(${type}) ${type}`,
      (a) =>
        rows(expectArray(viewOf(a[0]), `${type}_array_elements`).items.map((item) => item.datum())),
      { columns: [['value', type]] },
    ),
    setFunction(
      `${type}_array_elements_text(${type}) text`,
      (a) =>
        rows(
          expectArray(viewOf(a[0]), `${type}_array_elements_text`).items.map((item) => item.text()),
        ),
      { columns: [['value', 'text']] },
    ),
    setFunction(`${type}_object_keys(${type}) text`, (a) => {
      const view = viewOf(a[0]);
      expectObject(view, `${type}_object_keys`);
      return rows(view.entries.map(([key]) => key));
    }),
    setFunction(
      `${type}_each(${type}) record`,
      (a) =>
        expectObject(viewOf(a[0]), `${type}_each`).entries.map(([key, value]) => [
          key,
          value.datum(),
        ]),
      {
        columns: [
          ['key', 'text'],
          ['value', type],
        ],
      },
    ),
    setFunction(
      `${type}_each_text(${type}) record`,
      (a) =>
        expectObject(viewOf(a[0]), `${type}_each_text`).entries.map(([key, value]) => [
          key,
          value.text(),
        ]),
      {
        columns: [
          ['key', 'text'],
          ['value', 'text'],
        ],
      },
    ),
  ];
}

// ---------------------------------------------------------------------- building json and jsonb

function buildObject(
  args: Args,
  types: Types,
  context: EvalContext,
): { key: string; value: Datum; oid: number }[] {
  if (args.length % 2 !== 0) {
    throw sqlError('invalidParameterValue', 'argument list must have even number of elements', {
      hint: 'The arguments of json_build_object() must consist of alternating keys and values.',
    });
  }
  const out: { key: string; value: Datum; oid: number }[] = [];
  for (let i = 0; i < args.length; i += 2) {
    const key = args[i] ?? null;
    if (key === null) {
      throw sqlError('invalidParameterValue', `argument ${i + 1} cannot be null`);
    }
    out.push({
      key: keyText(key, types[i] ?? oids.text, context),
      value: args[i + 1] ?? null,
      oid: types[i + 1] ?? oids.text,
    });
  }
  return out;
}

/** Keys and values from text arrays: json_object. */
function objectPairs(a: Args): [string, string | null][] {
  const [first, second] = a;
  const keys = asArray(first);
  const list = textArray(first);
  const pairs: [string | null, string | null][] = [];
  if (second !== undefined) {
    const values = textArray(second);
    if (values.length !== list.length) {
      throw sqlError('arraySubscriptError', 'mismatched array dimensions');
    }
    list.forEach((key, i) => pairs.push([key, values[i] ?? null]));
  } else {
    const twoColumns = keys.dimensions.length === 2;
    if (twoColumns && keys.dimensions[1]?.length !== 2) {
      throw sqlError('arraySubscriptError', 'array must have two columns');
    }
    if (keys.dimensions.length > 2) {
      throw sqlError('arraySubscriptError', 'wrong number of array subscripts');
    }
    if (list.length % 2 !== 0) {
      throw sqlError('arraySubscriptError', 'array must have even number of elements');
    }
    for (let i = 0; i < list.length; i += 2) pairs.push([list[i] ?? null, list[i + 1] ?? null]);
  }
  return pairs.map(([key, value]) => {
    if (key === null)
      throw sqlError('nullValueNotAllowed', 'null value not allowed for object key');
    return [key, value];
  });
}

const building: ScalarFunction[] = [
  stable('to_json(anyelement) json', (a, c, types) => toJsonText(a[0] ?? null, types[0] ?? 0, c)),
  stable(
    'to_jsonb(anyelement) jsonb',
    (a, c, types) => new Jsonb(toJsonNode(a[0] ?? null, types[0] ?? 0, c)),
  ),
  stable('row_to_json(record) json', (a, c) => recordToJson(asRecord(a[0]), c)),
  stable('row_to_json(record,bool) json', (a, c) => recordToJson(asRecord(a[0]), c, asBool(a[1]))),
  stable('array_to_json(anyarray) json', (a, c, types) =>
    arrayToJson(asArray(a[0]), elementType(types), c),
  ),
  stable('array_to_json(anyarray,bool) json', (a, c, types) =>
    arrayToJson(asArray(a[0]), elementType(types), c, asBool(a[1])),
  ),
  ...['', '..."any"'].flatMap((args) => [
    stable(
      `json_build_object(${args}) json`,
      (a, c, types) =>
        `{${buildObject(a, types, c)
          .map(({ key, value, oid }) => `${quoteJson(key)} : ${toJsonText(value, oid, c)}`)
          .join(', ')}}`,
      { strict: false },
    ),
    stable(
      `jsonb_build_object(${args}) jsonb`,
      (a, c, types) =>
        new Jsonb(
          makeJsonObject(
            buildObject(a, types, c).map(({ key, value, oid }) => [key, toJsonNode(value, oid, c)]),
          ),
        ),
      { strict: false },
    ),
    stable(
      `json_build_array(${args}) json`,
      (a, c, types) => `[${a.map((item, i) => toJsonText(item, types[i] ?? 0, c)).join(', ')}]`,
      { strict: false },
    ),
    stable(
      `jsonb_build_array(${args}) jsonb`,
      (a, c, types) => new Jsonb(a.map((item, i) => toJsonNode(item, types[i] ?? 0, c))),
      { strict: false },
    ),
  ]),
  ...['text[]', 'text[],text[]'].flatMap((args) => [
    scalar(`json_object(${args}) json`, (a) => {
      const parts = objectPairs(a).map(
        ([key, value]) => `${quoteJson(key)} : ${value === null ? 'null' : quoteJson(value)}`,
      );
      return `{${parts.join(', ')}}`;
    }),
    scalar(`jsonb_object(${args}) jsonb`, (a) => new Jsonb(makeJsonObject(objectPairs(a)))),
  ]),
];

function elementType(types: Types): number {
  const oid = types[0] ?? 0;
  return isArrayType(oid) ? typeOf(oid).elementOid : oids.text;
}

// --------------------------------------------------------------------------------- containment

/** jsonb containment: objects by key, arrays by element, and an array contains a scalar on top level. */
export function jsonContains(a: JsonNode, b: JsonNode, top = true): boolean {
  if (isJsonObject(a) && isJsonObject(b)) {
    for (const [key, value] of b) {
      const mine = a.get(key);
      if (mine === undefined || !jsonContains(mine, value, false)) return false;
    }
    return true;
  }
  if (isJsonArray(a) && isJsonArray(b)) {
    return b.every((item) => a.some((mine) => jsonContains(mine, item, false)));
  }
  if (isJsonArray(a) && top && !isJsonObject(b)) {
    return a.some((mine) => isScalar(mine) && compareJsonb(mine, b) === 0);
  }
  return isScalar(a) && isScalar(b) && compareJsonb(a, b) === 0;
}

function isScalar(node: JsonNode): boolean {
  return !isJsonArray(node) && !isJsonObject(node);
}

function hasKey(node: JsonNode, key: string): boolean {
  if (isJsonObject(node)) return node.has(key);
  if (isJsonArray(node)) return node.includes(key);
  return node === key;
}

function keysOf(value: Datum | undefined): string[] {
  return textArray(value).filter((key) => key !== null);
}

// --------------------------------------------------------------------------------- modification

function concatenate(a: JsonNode, b: JsonNode): JsonNode {
  if (isJsonObject(a) && isJsonObject(b)) return makeJsonObject([...a, ...b]);
  const left = isJsonArray(a) ? a : [a];
  const right = isJsonArray(b) ? b : [b];
  return [...left, ...right];
}

function cannotDelete(node: JsonNode): void {
  if (isScalar(node)) throw invalid('cannot delete from scalar');
}

function deleteKeys(node: JsonNode, keys: readonly string[]): JsonNode {
  cannotDelete(node);
  const gone = new Set(keys);
  if (isJsonObject(node)) return new Map([...node].filter(([key]) => !gone.has(key)));
  return isJsonArray(node)
    ? node.filter((item) => !(typeof item === 'string' && gone.has(item)))
    : node;
}

function deleteIndex(node: JsonNode, index: number): JsonNode {
  if (isJsonObject(node)) throw invalid('cannot delete from object using integer index');
  cannotDelete(node);
  if (!isJsonArray(node)) return node;
  const at = index < 0 ? node.length + index : index;
  return node.filter((_, i) => i !== at);
}

function arrayIndex(step: string | null, position: number): number {
  const index = Number(step ?? 'x');
  if (step === null || !/^\s*[+-]?\d+\s*$/.test(step) || !Number.isSafeInteger(index)) {
    throw sqlError(
      'invalidTextRepresentation',
      `path element at position ${position} is not an integer: "${step ?? ''}"`,
    );
  }
  return index;
}

type PathAction =
  | { readonly kind: 'set'; readonly value: JsonNode; readonly create: boolean }
  | { readonly kind: 'insert'; readonly value: JsonNode; readonly after: boolean }
  | { readonly kind: 'delete' };

/** jsonb_set, jsonb_insert and #-: rebuilds the nodes on the path. */
function changePath(
  node: JsonNode,
  path: readonly (string | null)[],
  action: PathAction,
  depth = 0,
): JsonNode {
  const step = path[depth] ?? null;
  const last = depth === path.length - 1;
  if (step === null) {
    throw sqlError('nullValueNotAllowed', `path element at position ${depth + 1} is null`);
  }
  if (isJsonObject(node)) return changeObject(node, step, path, action, depth, last);
  if (!isJsonArray(node)) return node;
  const raw = arrayIndex(step, depth + 1);
  const at = raw < 0 ? node.length + raw : raw;
  if (!last) {
    return node.map((item, i) => (i === at ? changePath(item, path, action, depth + 1) : item));
  }
  return changeArray(node, at, action);
}

function changeObject(
  node: ReadonlyMap<string, JsonNode>,
  step: string,
  path: readonly (string | null)[],
  action: PathAction,
  depth: number,
  last: boolean,
): JsonNode {
  const current = node.get(step);
  if (!last) {
    if (current === undefined) return node;
    return makeJsonObject([...node, [step, changePath(current, path, action, depth + 1)]]);
  }
  switch (action.kind) {
    case 'delete':
      return new Map([...node].filter(([key]) => key !== step));
    case 'insert':
      if (current !== undefined) {
        throw sqlError('invalidParameterValue', 'cannot replace existing key', {
          hint: 'Try using the function jsonb_set to replace key value.',
        });
      }
      return makeJsonObject([...node, [step, action.value]]);
    case 'set':
      if (current === undefined && !action.create) return node;
      return makeJsonObject([...node, [step, action.value]]);
  }
}

function changeArray(node: readonly JsonNode[], at: number, action: PathAction): JsonNode {
  const inside = at >= 0 && at < node.length;
  switch (action.kind) {
    case 'delete':
      return node.filter((_, i) => i !== at);
    case 'insert': {
      const position = at < 0 ? 0 : Math.min(inside && action.after ? at + 1 : at, node.length);
      return [...node.slice(0, position), action.value, ...node.slice(position)];
    }
    case 'set':
      if (inside) return node.map((item, i) => (i === at ? action.value : item));
      if (!action.create) return node;
      return at < 0 ? [action.value, ...node] : [...node, action.value];
  }
}

function applyPath(a: Args, action: PathAction, verb: string): Jsonb {
  const node = asJsonNode(a[0]);
  if (isScalar(node)) throw invalid(`cannot ${verb} in scalar`);
  const path = textArray(a[1]);
  return path.length === 0 ? new Jsonb(node) : new Jsonb(changePath(node, path, action));
}

function setPath(a: Args): Jsonb {
  return applyPath(
    a,
    { kind: 'set', value: asJsonNode(a[2]), create: a.length < 4 || asBool(a[3]) },
    'set path',
  );
}

function insertPath(a: Args): Jsonb {
  return applyPath(
    a,
    { kind: 'insert', value: asJsonNode(a[2]), after: a.length > 3 && asBool(a[3]) },
    'set path',
  );
}

function stripNulls(node: JsonNode): JsonNode {
  if (isJsonArray(node)) return node.map(stripNulls);
  if (!isJsonObject(node)) return node;
  return new Map(
    [...node].filter(([, value]) => value !== null).map(([key, value]) => [key, stripNulls(value)]),
  );
}

function stripJsonNulls(view: JsonView): string {
  if (view.kind === 'object') {
    const parts = view.entries
      .filter(([, value]) => value.kind !== 'null')
      .map(([key, value]) => `${quoteJson(key)}:${stripJsonNulls(value)}`);
    return `{${parts.join(',')}}`;
  }
  if (view.kind === 'array') return `[${view.items.map(stripJsonNulls).join(',')}]`;
  return asText(view.datum());
}

function pretty(node: JsonNode, indent: string): string {
  const inner = `${indent}    `;
  if (isJsonArray(node)) {
    if (node.length === 0) return '[\n' + indent + ']';
    return `[\n${node.map((item) => inner + pretty(item, inner)).join(',\n')}\n${indent}]`;
  }
  if (isJsonObject(node)) {
    if (node.size === 0) return '{\n' + indent + '}';
    const parts = [...node].map(
      ([key, value]) => `${inner}${quoteJson(key)}: ${pretty(value, inner)}`,
    );
    return `{\n${parts.join(',\n')}\n${indent}}`;
  }
  if (node instanceof Numeric || node === null || typeof node === 'boolean') {
    return toJsonText(new Jsonb(node), oids.jsonb, defaultFormat);
  }
  return quoteJson(String(node));
}

const jsonbOnly: ScalarFunction[] = [
  scalar('@>(jsonb,jsonb) bool', (a) => jsonContains(asJsonNode(a[0]), asJsonNode(a[1]))),
  scalar('<@(jsonb,jsonb) bool', (a) => jsonContains(asJsonNode(a[1]), asJsonNode(a[0]))),
  scalar('?(jsonb,text) bool', (a) => hasKey(asJsonNode(a[0]), asText(a[1]))),
  scalar('?|(jsonb,text[]) bool', (a) => keysOf(a[1]).some((key) => hasKey(asJsonNode(a[0]), key))),
  scalar('?&(jsonb,text[]) bool', (a) =>
    keysOf(a[1]).every((key) => hasKey(asJsonNode(a[0]), key)),
  ),
  scalar('jsonb_exists(jsonb,text) bool', (a) => hasKey(asJsonNode(a[0]), asText(a[1]))),
  scalar(
    '||(jsonb,jsonb) jsonb',
    (a) => new Jsonb(concatenate(asJsonNode(a[0]), asJsonNode(a[1]))),
  ),
  scalar('-(jsonb,text) jsonb', (a) => new Jsonb(deleteKeys(asJsonNode(a[0]), [asText(a[1])]))),
  scalar('-(jsonb,text[]) jsonb', (a) => new Jsonb(deleteKeys(asJsonNode(a[0]), keysOf(a[1])))),
  scalar('-(jsonb,int4) jsonb', (a) => new Jsonb(deleteIndex(asJsonNode(a[0]), asNumber(a[1])))),
  scalar('#-(jsonb,text[]) jsonb', (a) => applyPath(a, { kind: 'delete' }, 'delete path')),
  scalar('jsonb_set(jsonb,text[],jsonb) jsonb', setPath),
  scalar('jsonb_set(jsonb,text[],jsonb,bool) jsonb', setPath),
  scalar('jsonb_insert(jsonb,text[],jsonb) jsonb', insertPath),
  scalar('jsonb_insert(jsonb,text[],jsonb,bool) jsonb', insertPath),
  scalar('jsonb_pretty(jsonb) text', (a) => pretty(asJsonNode(a[0]), '')),
  scalar('jsonb_strip_nulls(jsonb) jsonb', (a) => new Jsonb(stripNulls(asJsonNode(a[0])))),
  scalar('json_strip_nulls(json) json', (a) => stripJsonNulls(viewOf(a[0]))),
  scalar('is_json(text) bool', (a) => isJson(asText(a[0]))),
];

export const jsonFunctions: readonly ScalarFunction[] = [
  ...access('json'),
  ...access('jsonb'),
  ...building,
  ...jsonbOnly,
];

export const jsonSetFunctions: readonly SetFunction[] = [
  ...setAccess('json'),
  ...setAccess('jsonb'),
];
