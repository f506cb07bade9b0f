/** Window functions: partitions, frames in ROWS, RANGE and GROUPS mode, exclusion. */
import { must } from '../../../util/index.ts';
import { sqlError } from '../../errors.ts';
import { type RangeEnds } from '../../functions/index.ts';
import {
  type AggregateFunction,
  type WindowFrameView,
  type WindowFunction,
} from '../../functions/registry-types.ts';
import { type Datum, type Row, typeOps } from '../../types/index.ts';
import { type WindowFrame } from '../../plan/logical.ts';
import { type ColumnId } from '../../plan/expr.ts';
import { type Compiled } from '../expr/compile.ts';
import { collectRows, LateOperator, type Plan } from '../operator.ts';
import { rowBytes, type Runtime } from '../runtime.ts';
import { evaluateAll } from './basic.ts';
import { type CompiledKey, compareKey, compareKeys, keyValues, rowText } from './compare.ts';
import { mergeSort } from './merge-sort.ts';

export interface CompiledWindowCall {
  readonly fn: WindowFunction | AggregateFunction;
  readonly callTypes: readonly number[];
  readonly args: readonly Compiled[];
  readonly filter: Compiled | undefined;
}

export interface WindowParts {
  readonly partitionBy: readonly Compiled[];
  readonly partitionTypes: readonly number[];
  readonly orderBy: readonly CompiledKey[];
  readonly frame: WindowFrame;
  readonly startOffset: Compiled | undefined;
  readonly endOffset: Compiled | undefined;
  /** RANGE with an offset: the outermost sort values inside, per row, and how sort values compare to them. */
  readonly startValue: Compiled | undefined;
  readonly endValue: Compiled | undefined;
  readonly rangeEnds: RangeEnds | undefined;
  readonly calls: readonly CompiledWindowCall[];
  readonly ids: readonly ColumnId[];
}

interface Item {
  readonly row: Row;
  readonly key: Row;
}

export function windowPlan(input: Plan, parts: WindowParts): Plan {
  const ops = parts.partitionTypes.map((type) => typeOps(type));
  return {
    layout: [...input.layout, ...parts.ids],
    open: (rt) =>
      new LateOperator(async () => {
        const partitions = new Map<string, Item[]>();
        for (const row of await collectRows(input, rt, (r) => rowBytes(r) * 2)) {
          const text = rowText(await evaluateAll(parts.partitionBy, row, rt), ops);
          const item = { row, key: await keyValues(parts.orderBy, row, rt) };
          const same = partitions.get(text);
          if (same === undefined) partitions.set(text, [item]);
          else same.push(item);
        }
        const out: Row[] = [];
        for (const items of partitions.values()) {
          const order = (a: Item, b: Item): number => compareKeys(parts.orderBy, a.key, b.key);
          await new Partition(parts, await mergeSort(items, order, rt), rt).emit(out);
          await rt.breathe();
        }
        return out;
      }),
  };
}

class Partition {
  readonly #parts: WindowParts;
  readonly #items: readonly Item[];
  readonly #rt: Runtime;
  /** Start and end of each row's peers, and the number of its peer group. */
  readonly #peerStart: number[] = [];
  readonly #peerEnd: number[] = [];
  readonly #group: number[] = [];
  readonly #groupStarts: number[] = [];
  /** The sort values in the type of RANGE's edges, once they are needed. */
  #wide: readonly Datum[] | undefined;

  constructor(parts: WindowParts, items: readonly Item[], rt: Runtime) {
    this.#parts = parts;
    this.#items = items;
    this.#rt = rt;
    this.#findPeers();
  }

  #findPeers(): void {
    const items = this.#items;
    let start = 0;
    for (let i = 1; i <= items.length; i++) {
      const here = items[i];
      const first = must(items[start]);
      if (here !== undefined && compareKeys(this.#parts.orderBy, first.key, here.key) === 0)
        continue;
      this.#groupStarts.push(start);
      for (let j = start; j < i; j++) {
        this.#peerStart.push(start);
        this.#peerEnd.push(i);
        this.#group.push(this.#groupStarts.length - 1);
      }
      start = i;
    }
  }

  async emit(out: Row[]): Promise<void> {
    const { calls } = this.#parts;
    const frames = await this.#frames();
    const results: Datum[][] = [];
    for (const call of calls) results.push(await this.#results(call, frames));
    for (const [i, item] of this.#items.entries()) {
      out.push([...item.row, ...results.map((values) => values[i] ?? null)]);
    }
  }

  /** [start, end) of every row's frame, before exclusion. */
  async #frames(): Promise<{ readonly start: number; readonly end: number }[]> {
    const { frame, startValue, endValue } = this.#parts;
    const frames: { start: number; end: number }[] = [];
    const startCount = await this.#count(this.#parts.startOffset, 'starting');
    const endCount = await this.#count(this.#parts.endOffset, 'ending');
    for (const [i, item] of this.#items.entries()) {
      const start = await this.#edge(frame.start.kind, i, item, startCount, startValue, true);
      const end = await this.#edge(frame.end.kind, i, item, endCount, endValue, false);
      frames.push({
        start: Math.max(0, Math.min(start, this.#items.length)),
        end: Math.max(0, Math.min(end, this.#items.length)),
      });
    }
    return frames;
  }

  async #count(offset: Compiled | undefined, which: string): Promise<number> {
    if (offset === undefined) return 0;
    const value = await offset.run([], this.#rt);
    if (value === null)
      throw sqlError('nullValueNotAllowed', `frame ${which} offset must not be null`);
    // A range is checked row by row.
    if (this.#parts.frame.mode === 'range') return 0;
    const count = Number(value);
    if (count < 0)
      throw sqlError(
        'invalidPrecedingOrFollowingSize',
        `frame ${which} offset must not be negative`,
      );
    return count;
  }

  async #edge(
    kind: WindowFrame['start']['kind'],
    i: number,
    item: Item,
    count: number,
    value: Compiled | undefined,
    isStart: boolean,
  ): Promise<number> {
    const { mode } = this.#parts.frame;
    switch (kind) {
      case 'unbounded-preceding':
        return 0;
      case 'unbounded-following':
        return this.#items.length;
      case 'current-row':
        if (mode === 'rows') return isStart ? i : i + 1;
        return isStart ? must(this.#peerStart[i]) : must(this.#peerEnd[i]);
      case 'preceding':
      case 'following': {
        const signed = kind === 'preceding' ? -count : count;
        if (mode === 'rows') return isStart ? i + signed : i + signed + 1;
        if (mode === 'groups') return this.#groupEdge(must(this.#group[i]) + signed, isStart);
        return this.#rangeEdge(item, value, isStart);
      }
    }
  }

  #groupEdge(group: number, isStart: boolean): number {
    if (group < 0) return 0;
    const at = isStart ? group : group + 1;
    return this.#groupStarts[at] ?? this.#items.length;
  }

  /** The first row at or behind the boundary value (start), or the first behind it (end). */
  async #rangeEdge(item: Item, value: Compiled | undefined, isStart: boolean): Promise<number> {
    const { type } = must(this.#parts.rangeEnds);
    const key = { ...must(this.#parts.orderBy[0]), ops: typeOps(type) };
    const edge = await must(value).run(item.row, this.#rt);
    this.#wide ??= this.#widened();
    const at = this.#wide.findIndex((own) => {
      const order = compareKey(key, own, edge);
      return isStart ? order >= 0 : order > 0;
    });
    return at < 0 ? this.#items.length : at;
  }

  #widened(): Datum[] {
    const { widen } = must(this.#parts.rangeEnds);
    return this.#items.map(({ key: [own = null] }) => (own === null ? null : widen(own)));
  }

  async #results(
    call: CompiledWindowCall,
    frames: readonly { readonly start: number; readonly end: number }[],
  ): Promise<Datum[]> {
    const args: Datum[][] = [];
    const included: boolean[] = [];
    for (const item of this.#items) {
      args.push(await evaluateAll(call.args, item.row, this.#rt));
      const passes =
        call.filter === undefined || (await call.filter.run(item.row, this.#rt)) === true;
      included.push(passes);
    }
    const { fn } = call;
    if (fn.kind === 'window') return this.#windowResults(fn, call.callTypes, args, frames);
    return this.#aggregateResults(fn, call.callTypes, args, included, frames);
  }

  #windowResults(
    fn: WindowFunction,
    types: readonly number[],
    args: readonly (readonly Datum[])[],
    frames: readonly { readonly start: number; readonly end: number }[],
  ): Datum[] {
    return this.#items.map((_item, i) => {
      const frame = must(frames[i]);
      const view: WindowFrameView = {
        index: i,
        size: this.#items.length,
        args: (row) => must(args[row]),
        peerStart: must(this.#peerStart[i]),
        peerEnd: must(this.#peerEnd[i]),
        denseRank: must(this.#group[i]) + 1,
        frameStart: frame.start,
        frameEnd: Math.max(frame.start, frame.end),
        inFrame: (row) => row >= frame.start && row < frame.end && !this.#isExcluded(i, row),
      };
      return fn.call(view, types);
    });
  }

  #isExcluded(i: number, row: number): boolean {
    const { exclude } = this.#parts.frame;
    if (exclude === 'none') return false;
    if (exclude === 'current-row') return row === i;
    const isPeer = this.#group[row] === this.#group[i];
    return exclude === 'group' ? isPeer : isPeer && row !== i;
  }

  #aggregateResults(
    fn: AggregateFunction,
    types: readonly number[],
    args: readonly (readonly Datum[])[],
    included: readonly boolean[],
    frames: readonly { readonly start: number; readonly end: number }[],
  ): Datum[] {
    const feed = (
      state: ReturnType<AggregateFunction['create']>,
      from: number,
      to: number,
      i: number,
    ): void => {
      for (let row = from; row < to; row++) {
        const own = must(args[row]);
        if (included[row] !== true || (fn.strict && own.includes(null)) || this.#isExcluded(i, row))
          continue;
        state.add(own);
      }
    };
    const growing =
      this.#parts.frame.exclude === 'none' &&
      frames.every(
        (frame, i) => frame.start === 0 && (i === 0 || frame.end >= must(frames[i - 1]).end),
      );
    if (!growing) {
      return frames.map((frame, i) => {
        const state = fn.create(types, this.#rt.eval);
        feed(state, frame.start, frame.end, i);
        return state.result();
      });
    }
    const state = fn.create(types, this.#rt.eval);
    let fed = 0;
    let last: Datum = null;
    return frames.map((frame, i) => {
      if (i === 0 || frame.end > fed) {
        feed(state, fed, frame.end, i);
        fed = Math.max(fed, frame.end);
        last = state.result();
      }
      return last;
    });
  }
}
