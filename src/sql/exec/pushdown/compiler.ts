/** The leaseholder's side: compiles row programs and runs them over the rows of a scan. */
import { must } from '../../../util/index.ts';
import {
  KvFailure,
  type RowProgram,
  type RowProgramCompiler,
  type RowProgramRun,
} from '../../../kv/index.ts';
import { failureToWire, SqlFailure } from '../../errors.ts';
import { type AggregateFunction, type AggregateState } from '../../functions/registry-types.ts';
import { tableCodec } from '../../row/index.ts';
import { type RowDecoder } from '../../row/types.ts';
import { type Datum, defaultFormat, typeOps, type TypeOps } from '../../types/index.ts';
import { type Eval } from '../expr/compile-types.ts';
import { compile, type Env } from '../expr/compile.ts';
import { type Runtime } from '../runtime.ts';
import { aggregateByOid, readWire, type StaticProgram, type Wire } from './program.ts';
import { packPair, RowBytes } from './row-bytes.ts';

/** Distinct static parts kept compiled. */
const cacheSize = 512;

interface CompiledProgram {
  readonly parameters: RowBytes;
  readonly decode: RowDecoder;
  readonly width: number;
  readonly filter: readonly Eval[];
  readonly output:
    | { readonly kind: 'pairs' }
    | { readonly kind: 'columns'; readonly positions: readonly number[]; readonly bytes: RowBytes }
    | { readonly kind: 'aggregate'; readonly plan: PartialPlan };
}

interface PartialPlan {
  readonly groups: readonly { readonly run: Eval; readonly ops: TypeOps }[];
  readonly calls: readonly {
    readonly fn: AggregateFunction;
    readonly types: readonly number[];
    readonly args: readonly Eval[];
    readonly filter: Eval | undefined;
    readonly width: number;
  }[];
  readonly bytes: RowBytes;
}

/** Types of the rows that a partial aggregation delivers: group values, then the states' parts. */
export function partialTypes(
  output: Extract<StaticProgram['output'], { kind: 'aggregate' }>,
): number[] {
  const types = output.groups.map((group) => group.type);
  for (const call of output.aggregates) {
    const fn = aggregateByOid(call.name, call.oid);
    types.push(...must(fn.partial, 'only mergeable aggregates travel').stateTypes(call.types));
  }
  return types;
}

function makeCompiler(): RowProgramCompiler {
  const cache = new Map<string, CompiledProgram>();
  return {
    compile(serialized) {
      const length = serialized.readUInt32BE(0);
      const text = serialized.toString('utf8', 4, 4 + length);
      let program = cache.get(text);
      if (program === undefined) {
        program = compileProgram(JSON.parse(text) as StaticProgram);
        cache.set(text, program);
        if (cache.size > cacheSize) {
          const [oldest] = cache.keys();
          if (oldest !== undefined) cache.delete(oldest);
        }
      }
      const ready = program;
      const parameters = ready.parameters.decode(serialized.subarray(4 + length));
      const done: RowProgram = { start: () => new Run(ready, parameters) };
      return done;
    },
  };
}

/** The compiler that the server hands to the range layer. */
export const rowProgramCompiler: RowProgramCompiler = makeCompiler();

function compileProgram(program: StaticProgram): CompiledProgram {
  const codec = tableCodec(program.table);
  const width = program.table.columns.length;
  const env: Env = {
    layout: new Map(program.table.columns.map((_column, i) => [i, i])),
    outer: new Map(),
    subquery: () => {
      throw new RangeError('a row program holds no subquery');
    },
  };
  const closure = (wire: Wire): Eval => {
    const compiled = compile(readWire(wire), env);
    if (!compiled.sync) throw new RangeError('a row program is synchronous');
    return compiled.run;
  };
  const base = {
    parameters: new RowBytes(program.parameterTypes),
    decode: codec.index(program.indexId).decoder(program.decode),
    width,
    filter: program.filter.map(closure),
  };
  const { output } = program;
  switch (output.kind) {
    case 'pairs':
      return { ...base, output };
    case 'columns': {
      const types = output.positions.map(
        (position) => must(program.table.columns[position]).typeOid,
      );
      return {
        ...base,
        output: { kind: 'columns', positions: output.positions, bytes: new RowBytes(types) },
      };
    }
    case 'aggregate':
      return {
        ...base,
        output: {
          kind: 'aggregate',
          plan: {
            groups: output.groups.map((group) => ({
              run: closure(group.expr),
              ops: typeOps(group.type),
            })),
            calls: output.aggregates.map((call) => {
              const fn = aggregateByOid(call.name, call.oid);
              return {
                fn,
                types: call.types,
                args: call.args.map(closure),
                filter:
                  call.filter === undefined || call.filter === null
                    ? undefined
                    : closure(call.filter),
                width: must(fn.partial).stateTypes(call.types).length,
              };
            }),
            bytes: new RowBytes(partialTypes(output)),
          },
        },
      };
  }
}

interface Group {
  readonly key: readonly Datum[];
  readonly states: readonly AggregateState[];
}

class Run implements RowProgramRun {
  readonly #program: CompiledProgram;
  /** What closures may look at: parameters alone (everything that travels is immutable). */
  readonly #rt: Runtime;
  readonly #row: Datum[];
  readonly #groups = new Map<string, Group>();
  #single: Group | undefined;
  #out: Buffer[] = [];
  produced = 0;

  constructor(program: CompiledProgram, parameters: readonly Datum[]) {
    this.#program = program;
    this.#rt = { params: parameters, slots: [], eval: defaultFormat } as unknown as Runtime;
    this.#row = Array.from<Datum>({ length: program.width }).fill(null);
  }

  row(key: Buffer, value: Buffer): boolean {
    return traveling(() => this.#feed(key, value));
  }

  #feed(key: Buffer, value: Buffer): boolean {
    const { decode, filter, output } = this.#program;
    const row = this.#row;
    row.fill(null);
    decode(key, value, row);
    for (const condition of filter) if (condition(row, this.#rt) !== true) return false;
    switch (output.kind) {
      case 'pairs':
        this.#out.push(packPair(key, value));
        this.produced++;
        break;
      case 'columns':
        this.#out.push(
          output.bytes.encode(output.positions.map((position) => row[position] ?? null)),
        );
        this.produced++;
        break;
      case 'aggregate':
        this.#aggregate(output.plan);
        break;
    }
    return false;
  }

  #aggregate(plan: PartialPlan): void {
    const row = this.#row;
    const rt = this.#rt;
    const group = plan.groups.length === 0 ? this.#only(plan) : this.#group(plan);
    for (let i = 0; i < plan.calls.length; i++) {
      const call = plan.calls[i];
      if (call === undefined || (call.filter !== undefined && call.filter(row, rt) !== true))
        continue;
      const args: Datum[] = [];
      let hasNull = false;
      for (const arg of call.args) {
        const value = arg(row, rt);
        if (value === null) hasNull = true;
        args.push(value);
      }
      if (hasNull && call.fn.strict) continue;
      group.states[i]?.add(args);
    }
  }

  #only(plan: PartialPlan): Group {
    this.#single ??= this.#make(plan, [], '');
    return this.#single;
  }

  #group(plan: PartialPlan): Group {
    const key: Datum[] = [];
    let text = '';
    for (const group of plan.groups) {
      const value = group.run(this.#row, this.#rt);
      key.push(value);
      text += groupText(value, group.ops);
    }
    return this.#groups.get(text) ?? this.#make(plan, key, text);
  }

  #make(plan: PartialPlan, key: readonly Datum[], text: string): Group {
    const states = plan.calls.map((call) => call.fn.create(call.types, this.#rt.eval));
    const group = { key, states };
    this.#groups.set(text, group);
    return group;
  }

  take(): Buffer[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  finish(): Buffer[] {
    return traveling(() => this.#rest());
  }

  #rest(): Buffer[] {
    const { output } = this.#program;
    if (output.kind !== 'aggregate') return [];
    const { plan } = output;
    const rows: Buffer[] = [];
    for (const group of this.#groups.values()) {
      const parts = plan.calls.flatMap((call, i) => [
        ...must(call.fn.partial).extract(must(group.states[i])),
      ]);
      rows.push(plan.bytes.encode([...group.key, ...parts]));
    }
    return rows;
  }
}

/** What an expression throws (22012, 22003, ...) reaches the statement as a failure that can travel between nodes. */
function traveling<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof SqlFailure)) throw error;
    throw new KvFailure({ kind: 'invalid-request', reason: failureToWire(error) });
  }
}

/** Text that is the same for equal group values and no others. */
export function groupText(value: Datum, ops: TypeOps): string {
  if (value === null) return '\u0000n;';
  const key = String(ops.hashKey(value));
  return `${key.length}:${key};`;
}
