import { expect, it } from 'vitest';
import { drivePageCache } from './page-cache-drive.ts';

it('a LevelEngine with a tiny page cache agrees with a sorted model', async () => {
  let pagesMost = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const report = await drivePageCache(seed, 600);
    pagesMost = Math.max(pagesMost, report.pagesMost);
  }
  expect(pagesMost).toBeGreaterThan(20);
});
