import { readFileSync } from 'node:fs';

/** From package.json, which stands two folders above both `src/cli` and `dist/cli`. */
export const version: string = String(
  (
    JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: unknown;
    }
  ).version,
);
