/**
 * One way to look at json (text, kept as written) and jsonb (a tree): functions that exist for both are
 * written once over views.
 */
import {
  asText,
  type Datum,
  formatJsonNode,
  isJsonArray,
  isJsonObject,
  Jsonb,
  type JsonNode,
  Numeric,
} from '../types/index.ts';
import { type JsonBuilder, parseJsonWith } from '../types/json.ts';

export type JsonKind = 'null' | 'boolean' | 'number' | 'string' | 'array' | 'object';

export interface JsonView {
  readonly kind: JsonKind;
  readonly items: readonly JsonView[];
  readonly entries: readonly (readonly [string, JsonView])[];
  /** As json or jsonb again. */
  datum(): Datum;
  /** As ->> shows it: strings without quotes, null as SQL null. */
  text(): string | null;
}

class NodeView implements JsonView {
  readonly #node: JsonNode;

  constructor(node: JsonNode) {
    this.#node = node;
  }

  get kind(): JsonKind {
    return nodeKind(this.#node);
  }

  get items(): readonly JsonView[] {
    return isJsonArray(this.#node) ? this.#node.map((item) => new NodeView(item)) : [];
  }

  get entries(): readonly (readonly [string, JsonView])[] {
    if (!isJsonObject(this.#node)) return [];
    return Array.from(this.#node, ([key, value]) => [key, new NodeView(value)] as const);
  }

  datum(): Datum {
    return new Jsonb(this.#node);
  }

  text(): string | null {
    if (this.#node === null) return null;
    return typeof this.#node === 'string' ? this.#node : formatJsonNode(this.#node);
  }
}

export function nodeKind(node: JsonNode): JsonKind {
  if (node === null) return 'null';
  if (typeof node === 'string') return 'string';
  if (typeof node === 'boolean') return 'boolean';
  if (node instanceof Numeric) return 'number';
  return isJsonArray(node) ? 'array' : 'object';
}

class SourceView implements JsonView {
  readonly kind: JsonKind;
  readonly items: readonly JsonView[];
  readonly entries: readonly (readonly [string, JsonView])[];
  readonly source: string;
  readonly #value: string | undefined;

  constructor(
    kind: JsonKind,
    source: string,
    parts: {
      readonly items?: readonly JsonView[];
      readonly entries?: readonly (readonly [string, JsonView])[];
      readonly value?: string | undefined;
    } = {},
  ) {
    this.kind = kind;
    this.source = source;
    this.items = parts.items ?? [];
    this.entries = parts.entries ?? [];
    this.#value = parts.value;
  }

  withSource(source: string): SourceView {
    return new SourceView(this.kind, source, {
      items: this.items,
      entries: this.entries,
      value: this.#value,
    });
  }

  datum(): Datum {
    return this.source;
  }

  text(): string | null {
    return this.kind === 'null' ? null : (this.#value ?? this.source);
  }
}

const builder: JsonBuilder<SourceView> = {
  null: () => new SourceView('null', ''),
  boolean: () => new SourceView('boolean', ''),
  string: (value) => new SourceView('string', '', { value }),
  number: () => new SourceView('number', ''),
  array: (items) => new SourceView('array', '', { items }),
  object: (entries) => new SourceView('object', '', { entries }),
  located: (value, text) => value.withSource(text),
};

export function viewOf(value: Datum | undefined): JsonView {
  return value instanceof Jsonb
    ? new NodeView(value.node)
    : parseJsonWith<SourceView>(asText(value), builder);
}

/** The field of an object; the last one of equal keys. */
export function fieldOf(view: JsonView, name: string): JsonView | undefined {
  return view.entries.findLast(([key]) => key === name)?.[1];
}

/** The element of an array; negative indexes count from the end. */
export function elementOf(view: JsonView, index: number): JsonView | undefined {
  return view.items[index < 0 ? view.items.length + index : index];
}

/** Follows a path of field names and indexes. */
export function followPath(view: JsonView, path: readonly (string | null)[]): JsonView | undefined {
  let at: JsonView | undefined = view;
  for (const step of path) {
    if (at === undefined || step === null) return undefined;
    if (at.kind === 'object') at = fieldOf(at, step);
    else if (at.kind === 'array' && /^\s*[+-]?\d+$/.test(step)) at = elementOf(at, Number(step));
    else return undefined;
  }
  return at;
}
