/** Lets a machine die at the n-th operation of its disk and its engine. */
import { DiskError } from '../../../src/sim/memory-disk.ts';
import { type EngineWrite } from '../../../src/storage/index.ts';
import { type Machine } from './cluster.ts';

/** Calls `die` at the `n`-th step of the machine from now on; returns what ends the counting. */
export function countSteps(machine: Machine, n: number, die: () => void): () => void {
  let steps = 0;
  const step = (what: string): DiskError | undefined => {
    if (++steps !== n) return undefined;
    die();
    return new DiskError('EIO', `${what}: the machine is gone`);
  };
  machine.disk.fault = ({ kind, path }) => step(`${kind} ${path}`);
  const { engine } = machine;
  const stepOrThrow = (what: string): void => {
    const error = step(what);
    if (error !== undefined) throw error;
  };
  const apply = engine.apply.bind(engine);
  const clear = engine.clear.bind(engine);
  const barrier = engine.barrier.bind(engine);
  engine.apply = (writes: readonly EngineWrite[]) => {
    stepOrThrow('apply');
    apply(writes);
  };
  engine.clear = async (start, end) => {
    stepOrThrow('clear');
    await clear(start, end);
  };
  engine.barrier = async () => {
    stepOrThrow('barrier');
    await barrier();
  };
  return () => {
    steps = Number.POSITIVE_INFINITY;
  };
}
