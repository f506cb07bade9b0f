/** The image sets what the local runner sets. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { mallocVariables } from '../../src/cli/memory.ts';

it('nodes of the image have the variables of those that the local runner starts', () => {
  const lines = readFileSync('cluster/Dockerfile', 'utf8').split('\n');
  const found = lines
    .filter((line) => line.startsWith('ENV '))
    .flatMap((line) => line.slice('ENV '.length).split(' '))
    .map((pair) => pair.split('='))
    .filter(([name]) => name?.startsWith('MALLOC_'));
  expect(Object.fromEntries(found)).toEqual(mallocVariables);
});
