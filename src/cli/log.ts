/** pino as Env's logger: JSON lines, or pretty on a terminal. */
import { destination, type LoggerOptions, pino } from 'pino';
import { type Logger } from '../util/index.ts';

export type LogFormat = 'json' | 'pretty' | 'auto';

export async function createLogger(options: {
  level: string;
  format: LogFormat;
  /** undefined = standard error. */
  file: string | undefined;
}): Promise<Logger> {
  const base: LoggerOptions<never> = {
    level: options.level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  const pretty =
    options.format === 'pretty' || (options.format === 'auto' && process.stderr.isTTY === true);
  if (pretty && options.file === undefined) {
    // Loaded only for terminals: a node that writes JSON does not pay for it.
    const { default: build } = await import('pino-pretty');
    return pino<never>(base, build({ destination: 2, colorize: true, sync: true }));
  }
  // Synchronous: the last line before an exit is the one that matters.
  return pino<never>(base, destination({ dest: options.file ?? 2, sync: true, mkdir: true }));
}
