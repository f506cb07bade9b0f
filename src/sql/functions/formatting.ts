import { type ScalarFunction } from './registry-types.ts';
export const formattingFunctions: readonly ScalarFunction[] = [];
