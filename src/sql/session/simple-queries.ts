/**
 * The simple protocol: a string of statements in one message, whose plans are found by their shape (`templates.ts`) or made anew.
 */
import { SqlFailure } from '../errors.ts';
import { type ParsedStatement } from '../parse/index.ts';
import { type Datum } from '../types/index.ts';
import { type ClientOutput, type ResultFormats } from './client.ts';
import { findLiterals, type LiteralText } from './literals.ts';
import { located, withoutPosition } from './located.ts';
import { OutdatedTemplate } from './planner.ts';
import { makeStatement, type PreparedStatement } from './prepared.ts';
import { isAgain } from './replay.ts';
import { type Run, type Session } from './session.ts';
import { makeTemplate, TemplateCache, templateParams } from './templates.ts';

const noParams: readonly Datum[] = [];
const textFormats: ResultFormats = [];

export class SimpleQueries {
  readonly #session: Session;
  readonly #templates: TemplateCache;
  /** The message has several statements, which PostgreSQL takes for a block. */
  runsSeveral = false;

  constructor(session: Session) {
    this.#session = session;
    this.#templates = new TemplateCache(session.services.limits.cachedPlans);
  }

  async run(text: string, out: ClientOutput): Promise<void> {
    const shape = findLiterals(text);
    if (shape !== undefined && (await this.#runTemplate(shape, out))) return;
    const statements = this.#session.services.parser.parse(text);
    if (statements.length === 0) {
      out.emptyQuery();
    } else if (statements.length === 1 && statements[0] !== undefined) {
      await this.#runAlone(statements[0], out);
      if (shape !== undefined && this.#templates.isWorthwhile(shape)) {
        await this.#addTemplate(statements[0], shape);
      }
    } else {
      this.runsSeveral = true;
      try {
        await this.#runSeveral(statements, out);
      } finally {
        this.runsSeveral = false;
      }
    }
  }

  forgetPlans(): void {
    this.#templates.clear();
  }

  /** Runs a statement of a known shape; false when it has to go the long way. */
  async #runTemplate(shape: LiteralText, out: ClientOutput): Promise<boolean> {
    const session = this.#session;
    const template = this.#templates.find(shape);
    if (template === undefined) return false;
    if (!session.planner.isCurrent(template.statement)) {
      this.#templates.outdate(shape);
      return false;
    }
    let params: Datum[] | undefined;
    try {
      session.runner.setClock();
      params = templateParams(template, shape.literals, session.settings.format);
    } catch (error) {
      if (!(error instanceof SqlFailure)) throw error;
    }
    // The long way finds the right words for what is wrong with a literal.
    if (params === undefined) return false;
    try {
      await session.runner.run(
        template.statement,
        { params, formats: textFormats, describe: true, out },
        true,
      );
    } catch (error) {
      if (error instanceof OutdatedTemplate) {
        this.#templates.outdate(shape);
        return false;
      }
      throw withoutPosition(error);
    }
    return true;
  }

  /** The shape came twice: plans it with parameters, for the next time. */
  async #addTemplate(parsed: ParsedStatement, shape: LiteralText): Promise<void> {
    const session = this.#session;
    const template = makeTemplate(parsed, shape);
    this.#templates.add(shape, template);
    if (template === undefined) return;
    try {
      await session.planner.plan(template.statement);
    } catch (error) {
      if (!(error instanceof SqlFailure)) throw error;
      this.#templates.refuse(shape);
    }
  }

  async #runAlone(parsed: ParsedStatement, out: ClientOutput): Promise<void> {
    const statement = adHoc(parsed);
    try {
      await this.#session.runner.run(
        statement,
        { params: noParams, formats: textFormats, describe: true, out },
        true,
      );
    } catch (error) {
      throw located(error, parsed);
    }
  }

  /**
   * Several statements in one message are one implicit transaction, cut by transaction statements among
   * them (PostgreSQL 55.2.2.1). Such a part is run again as a whole if it has to restart, unless something it did stays
   * or it took data from the client.
   */
  async #runSeveral(statements: readonly ParsedStatement[], out: ClientOutput): Promise<void> {
    const session = this.#session;
    /** Where the implicit transaction that is open began; undefined when it did not begin in this message. */
    let begun: { readonly at: number; readonly mark: number } | undefined;
    let outlivesRollback = false;
    let attempts = 0;
    for (let i = 0; i < statements.length; i++) {
      const parsed = statements[i];
      if (parsed === undefined) continue;
      const isLast = i === statements.length - 1;
      if (i > 0) session.startTimeout();
      const before = session.transaction.state;
      if (before === 'idle') {
        begun = { at: i, mark: out.mark() };
        outlivesRollback = false;
      } else if (before === 'explicit') begun = undefined;
      // What was taken from the client is gone, also when nothing of it stays.
      outlivesRollback ||= isCopyFrom(parsed);
      const run: Run = { params: noParams, formats: textFormats, describe: true, out };
      try {
        await session.runner.run(adHoc(parsed), run, isLast && before === 'idle');
        outlivesRollback ||= session.transaction.log.outlivesRollback;
        if (isLast && session.transaction.state === 'implicit') await session.runner.commit();
      } catch (error) {
        const { state, log } = session.transaction;
        outlivesRollback ||= log.outlivesRollback;
        const mayRestart =
          begun !== undefined && state !== 'explicit' && !outlivesRollback && isAgain(error);
        if (
          !mayRestart ||
          attempts >= session.services.limits.retries ||
          !out.rewind(begun?.mark ?? 0)
        ) {
          throw located(error, parsed);
        }
        await session.runner.rollback();
        attempts++;
        session.runner.noteRetry('restart', error);
        await session.runner.pause(attempts);
        i = (begun?.at ?? 0) - 1;
      }
    }
  }
}

function adHoc(parsed: ParsedStatement): PreparedStatement {
  return makeStatement('', parsed.text, parsed, []);
}

function isCopyFrom({ statement }: ParsedStatement): boolean {
  return (
    statement.kind === 'postgres' &&
    'CopyStmt' in statement.node &&
    statement.node.CopyStmt.is_from === true
  );
}
