/**
 * Runs wire scripts. Commands:
 *   send [conn] [until=Kind,Kind]   input: message lines; prints what comes up to ReadyForQuery (or those kinds);
 *                                   until=none prints nothing and does not wait
 *   receive [conn] [until=...]      the same without sending
 *   open [conn]                     startup as root on defaultdb, nothing printed
 *   show, hide [conn] Kind          prints messages of that kind, or not
 */
import { type ScriptRunner } from '../script.ts';
import { startService } from './server.ts';
import { encodeLine, WireClient } from './wire-client.ts';

export function wireScripts(splitEvery: number): () => Promise<ScriptRunner> {
  return async () => {
    const service = await startService();
    const clients = new Map<string, WireClient>();
    const clientOf = (name: string): WireClient => {
      let client = clients.get(name);
      if (client === undefined) {
        client = new WireClient(service, { splitEvery });
        clients.set(name, client);
      }
      return client;
    };
    const keyOf = (name: string): { pid: number; secret: number } => {
      if (name === 'wrong') return { pid: clientOf('a').key?.pid ?? 0, secret: 1 };
      const { key } = clientOf(name);
      if (key === undefined) throw new Error(`${name} has no key`);
      return key;
    };
    return async (step) => {
      const client = clientOf(step.args[0] ?? 'a');
      const kinds = step.options.get('until')?.split(',') ?? ['ReadyForQuery'];
      switch (step.command) {
        case 'open':
          await client.send(encodeLine('Startup user=root database=defaultdb', keyOf));
          return (await client.until(['ReadyForQuery']))
            .filter((line) => line.startsWith('Error'))
            .join('\n');
        case 'hide':
          client.hidden.add(step.args[1] ?? '');
          return '';
        case 'show':
          client.hidden.delete(step.args[1] ?? '');
          return '';
        case 'send': {
          const lines = step.input.split('\n').filter((line) => line !== '');
          await client.send(Buffer.concat(lines.map((line) => encodeLine(line, keyOf))));
          return kinds[0] === 'none' ? '' : (await client.until(kinds)).join('\n');
        }
        case 'receive':
          return (await client.until(kinds)).join('\n');
        case 'sessions':
          return String(service.service.sessionCount);
        default:
          throw new Error(`no command ${step.command}`);
      }
    };
  };
}
