/** The synchronous form of a compiled expression. */
import { type Datum, type Row } from '../../types/index.ts';
import { type Runtime } from '../runtime.ts';

export type Eval = (row: Row, rt: Runtime) => Datum;
