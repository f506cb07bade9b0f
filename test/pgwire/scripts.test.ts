import { join } from 'node:path';
import { describe } from 'vitest';
import { runScripts } from '../script.ts';
import { wireScripts } from './script-runner.ts';

const directory = join(import.meta.dirname, 'testdata');

describe('whole chunks', () => {
  runScripts(directory, wireScripts(0));
});

// The same bytes, cut apart: nothing may depend on where chunks end.
describe('byte by byte', () => {
  runScripts(directory, wireScripts(1));
});
