import { runScripts } from '../../script.ts';
import { TestSession, startCluster } from '../ddl/node.ts';

/** `sql` as it stands; `psql` with `{name}` replaced by the oid of that relation. */
runScripts(`${import.meta.dirname}/testdata`, async () => {
  const session = new TestSession(await startCluster());
  return async ({ command, input }) => {
    let text = input;
    if (command === 'psql') {
      for (const [whole, name] of input.matchAll(/\{([a-z]\w*)\}/g)) {
        const oid = (await session.run(`select '${name}'::regclass::oid`)).split('\n')[1] ?? '';
        text = text.replaceAll(whole, oid);
      }
    }
    return session.run(text);
  };
});
