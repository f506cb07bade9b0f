/** `skein sim --workload sql:NAME[:ISOLATION]`: a workload that is checked over SQL, in a simulated cluster. */
import { checkedWorkload, parseCheckedWorkload } from '../sim/index.ts';
import { loadParser } from '../sql/index.ts';
import { must } from '../util/index.ts';
import { installVirtualGlobals } from './virtual-globals.ts';
import { type OpenWorkload } from './workload-file.ts';

export function isCheckedWorkload(name: string): boolean {
  return parseCheckedWorkload(name) !== undefined;
}

/** `name` is one that `isCheckedWorkload`. To be called for every run. */
export async function openCheckedWorkload(name: string): Promise<OpenWorkload> {
  const workload = checkedWorkload(must(parseCheckedWorkload(name)));
  await loadParser();
  let restore = (): void => undefined;
  return {
    workload: {
      ...workload,
      make(context, random, cluster) {
        restore = installVirtualGlobals(context.world, random.fork());
        return workload.make(context, random, cluster);
      },
    },
    close: () => restore(),
  };
}
