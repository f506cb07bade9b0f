import { runScripts } from '../../script.ts';
import { scriptSessions } from './node.ts';

runScripts(`${import.meta.dirname}/testdata`, () => scriptSessions(2));
