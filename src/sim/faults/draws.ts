/** What several classes of faults draw. */
import { type SeededRandom } from '../random.ts';
import { type Scene } from './fault.ts';

/** Logarithmic: as often between 1 and 10 as between 10 and 100. */
export function magnitude(random: SeededRandom, min: number, max: number): number {
  return Math.round(min * (max / min) ** random.float());
}

export function machineCount({ machines, lateMachines }: Scene): number {
  return machines + lateMachines;
}

export function oneMachine(random: SeededRandom, scene: Scene): number {
  return random.between(0, machineCount(scene) - 1);
}

/** All machines in some order. */
export function shuffledMachines(random: SeededRandom, scene: Scene): number[] {
  const out = Array.from({ length: machineCount(scene) }, (_, i) => i);
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.between(0, i);
    [out[i], out[j]] = [out[j] ?? 0, out[i] ?? 0];
  }
  return out;
}

/** Mostly one; also two, a minority, a majority, or all. */
export function someMachines(random: SeededRandom, scene: Scene): number[] {
  const all = machineCount(scene);
  const draw = random.float();
  const count =
    draw < 0.6
      ? 1
      : draw < 0.75
        ? 2
        : draw < 0.85
          ? Math.floor((all - 1) / 2)
          : draw < 0.93
            ? Math.floor(all / 2) + 1
            : all;
  return shuffledMachines(random, scene).slice(0, Math.max(1, count));
}

/** Until a process is started again: at once, as a supervisor does, or after somebody has looked at it. */
export function downTime(random: SeededRandom): number {
  return random.chance(0.5) ? 20 + random.float() * 400 : random.float() * 8_000;
}
