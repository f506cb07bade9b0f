/** What operators change about ranges by their zones; nodes hear of it one after the other. */
import { faultClass } from './fault.ts';

export const zones = {
  /** For a while all replicas serve reads of the present. */
  'global-reads': faultClass({
    weight: 10,
    draw: (random, { machines, lateMachines }) => {
      const heardMs = (): number[] =>
        Array.from({ length: machines + lateMachines }, () => random.float() * 500);
      return { onMs: heardMs(), lastMs: random.float() * 8_000, offMs: heardMs() };
    },
    inject(target, { onMs, lastMs, offMs }) {
      const { cluster } = target;
      for (const [machine, ms] of onMs.entries()) {
        target.after(ms, () => cluster.setGlobalReads(machine, true));
      }
      for (const [machine, ms] of offMs.entries()) {
        target.after(lastMs + ms, () => cluster.setGlobalReads(machine, false));
      }
    },
  }),
};
