/**
 * The cluster statements: what PostgreSQL's grammar has no words for. Recursive descent over tokens;
 * expressions inside are handed to PostgreSQL's grammar with the text in front blanked out, so their
 * positions stay true.
 */
import { type Node } from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { type Token, TokenReader } from './scanner.ts';
import { parsePostgres } from './postgres-grammar.ts';
import { type ClusterStatement, type NameParts, type ZoneTarget } from './types.ts';

type ShowObjects = Extract<ClusterStatement, { kind: 'show-objects' }>;

/** Undefined when the statement is none of ours; throws 42601 when it starts like one and is malformed. */
export function parseCluster(text: string, tokens: readonly Token[]): ClusterStatement | undefined {
  const parser = new ClusterParser(text, tokens);
  const statement = parser.statement();
  if (statement !== undefined) parser.reader.expectEnd();
  return statement;
}

class ClusterParser {
  readonly reader: TokenReader;
  readonly #text: string;

  constructor(text: string, tokens: readonly Token[]) {
    this.reader = new TokenReader(text, tokens);
    this.#text = text;
  }

  statement(): ClusterStatement | undefined {
    const { reader } = this;
    if (reader.take('show')) return this.#show();
    if (reader.take('set', 'cluster', 'setting')) return this.#setClusterSetting();
    if (reader.take('reset', 'cluster', 'setting')) {
      return { kind: 'set-cluster-setting', name: reader.name().join('.'), value: 'default' };
    }
    if (reader.take('alter')) return this.#alter();
    return undefined;
  }

  #show(): ClusterStatement | undefined {
    const { reader } = this;
    if (reader.take('ranges')) return this.#showRanges();
    if (reader.take('cluster', 'setting')) {
      return { kind: 'show-cluster-setting', name: reader.name().join('.') };
    }
    if (reader.take('all', 'cluster', 'settings'))
      return { kind: 'show-cluster-settings', all: true };
    if (reader.take('public', 'cluster', 'settings') || reader.take('cluster', 'settings')) {
      return { kind: 'show-cluster-settings', all: false };
    }
    if (reader.take('zone', 'configurations') || reader.take('all', 'zone', 'configurations')) {
      return { kind: 'show-zones' };
    }
    if (reader.take('zone', 'configuration')) {
      if (!reader.take('for')) reader.expect('from');
      return { kind: 'show-zone', target: this.#zoneTarget() };
    }
    return this.#showObjects();
  }

  #showRanges(): ClusterStatement {
    const { reader } = this;
    if (!reader.take('from')) return { kind: 'show-ranges', from: { kind: 'current-catalog' } };
    if (reader.take('current_catalog')) {
      return { kind: 'show-ranges', from: { kind: 'current-catalog' } };
    }
    if (reader.take('database')) {
      return { kind: 'show-ranges', from: { kind: 'database', name: reader.identifier() } };
    }
    if (reader.take('index')) {
      return { kind: 'show-ranges', from: { kind: 'index', ...this.#indexName() } };
    }
    reader.expect('table');
    return { kind: 'show-ranges', from: { kind: 'table', name: reader.name() } };
  }

  #showObjects(): ClusterStatement | undefined {
    const { reader } = this;
    const show = (what: ShowObjects['what'], of?: NameParts): ShowObjects => ({
      kind: 'show-objects',
      what,
      of,
    });
    const from = (): NameParts | undefined => (reader.take('from') ? reader.name() : undefined);
    const fromTable = (): NameParts => {
      reader.expect('from');
      reader.take('table');
      return reader.name();
    };
    if (reader.take('databases')) return show('databases');
    if (reader.take('schemas')) return show('schemas', from());
    if (reader.take('tables')) return show('tables', from());
    if (reader.take('columns')) return show('columns', fromTable());
    if (reader.take('indexes') || reader.take('index') || reader.take('keys')) {
      return show('indexes', fromTable());
    }
    if (reader.take('constraints') || reader.take('constraint')) {
      return show('constraints', fromTable());
    }
    if (reader.take('create')) {
      reader.take('table');
      return show('create-table', reader.name());
    }
    if (reader.take('sequences')) return show('sequences', from());
    if (reader.take('users') || reader.take('roles')) return show('users');
    if (reader.take('jobs')) return show('jobs');
    if (reader.take('nodes')) return show('nodes');
    return undefined;
  }

  #setClusterSetting(): ClusterStatement {
    const { reader } = this;
    const name = reader.name().join('.');
    if (!reader.takeSymbol('=')) reader.expect('to');
    if (reader.take('default')) return { kind: 'set-cluster-setting', name, value: 'default' };
    return { kind: 'set-cluster-setting', name, value: this.#expression() };
  }

  #alter(): ClusterStatement | undefined {
    const { reader } = this;
    if (reader.take('range'))
      return this.#configureZone({ kind: 'range', name: reader.identifier() });
    if (reader.take('database')) {
      const name = reader.identifier();
      if (!reader.isWord('configure')) return undefined;
      return this.#configureZone({ kind: 'database', name });
    }
    const isTable = reader.take('table');
    if (!isTable && !reader.take('index')) return undefined;
    if (reader.isWord('if') || reader.isWord('only') || reader.isWord('all')) return undefined;
    const parts = reader.name();
    const index = reader.takeSymbol('@') ? reader.identifier() : undefined;
    if (reader.isWord('configure')) {
      return this.#configureZone(
        index === undefined
          ? { kind: 'table', name: parts }
          : { kind: 'index', table: parts, index },
      );
    }
    if (!reader.take('split', 'at')) return undefined;
    return this.#splitAt(parts, index);
  }

  #splitAt(table: NameParts, index: string | undefined): ClusterStatement {
    const { reader } = this;
    const start = reader.peek().start;
    if (!reader.isWord('values') && !reader.isWord('select')) reader.fail();
    let end = start;
    while (!reader.atEnd && !(reader.isWord('with') && reader.isWord('expiration', 1))) {
      end = reader.next().end;
    }
    const rows = this.#parsePart('', start, end);
    let expiration: Node | undefined;
    if (reader.take('with', 'expiration')) expiration = this.#expression();
    return { kind: 'split-at', table, index, rows, expiration };
  }

  #configureZone(target: ZoneTarget): ClusterStatement {
    const { reader } = this;
    reader.expect('configure', 'zone');
    if (reader.take('discard')) {
      return { kind: 'configure-zone', target, change: { kind: 'discard' } };
    }
    reader.expect('using');
    const values: { name: string; value: Node | 'copy-from-parent' }[] = [];
    do {
      const name = reader.name().join('.');
      reader.expectSymbol('=');
      if (reader.take('copy', 'from', 'parent')) values.push({ name, value: 'copy-from-parent' });
      else values.push({ name, value: this.#expression() });
    } while (reader.takeSymbol(','));
    return { kind: 'configure-zone', target, change: { kind: 'set', values } };
  }

  #zoneTarget(): ZoneTarget {
    const { reader } = this;
    if (reader.take('range')) return { kind: 'range', name: reader.identifier() };
    if (reader.take('database')) return { kind: 'database', name: reader.identifier() };
    if (reader.take('index')) return { kind: 'index', ...this.#indexName() };
    reader.expect('table');
    return { kind: 'table', name: reader.name() };
  }

  #indexName(): { table: NameParts; index: string } {
    const table = this.reader.name();
    this.reader.expectSymbol('@');
    return { table, index: this.reader.identifier() };
  }

  /** An expression up to a comma outside parentheses or the end. */
  #expression(): Node {
    const { reader } = this;
    const start = reader.peek().start;
    let end = start;
    let depth = 0;
    while (!reader.atEnd) {
      const { kind, value } = reader.peek();
      if (kind === 'symbol' && value === ',' && depth === 0) break;
      if (kind === 'symbol' && (value === '(' || value === '[')) depth++;
      if (kind === 'symbol' && (value === ')' || value === ']')) depth--;
      end = reader.next().end;
    }
    return selectedExpression(this.#parsePart('SELECT ', start, end));
  }

  #parsePart(prefix: string, start: number, end: number): Node {
    if (start === end) this.reader.fail();
    const blanks = ' '.repeat(Buffer.byteLength(this.#text.slice(0, start)) - prefix.length);
    const statement = parsePostgres(blanks + prefix + this.#text.slice(start, end))[0]?.stmt;
    if (statement === undefined) this.reader.fail();
    return statement;
  }
}

/** The expression of a `SELECT expression` tree. */
export function selectedExpression(statement: Node): Node {
  const target = 'SelectStmt' in statement ? statement.SelectStmt.targetList?.[0] : undefined;
  const value = target !== undefined && 'ResTarget' in target ? target.ResTarget.val : undefined;
  if (value === undefined) throw sqlError('syntaxError', 'syntax error: an expression is missing');
  return value;
}
