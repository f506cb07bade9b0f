/**
 * Errors that a client sees: SQLSTATE, message, position. The one place where SQLSTATEs are named
 * (PostgreSQL, Appendix A); KvError is translated in `session/kv-errors.ts`.
 */

export const sqlStates = {
  successfulCompletion: '00000',
  warning: '01000',
  noData: '02000',
  connectionFailure: '08006',
  protocolViolation: '08P01',
  featureNotSupported: '0A000',
  cardinalityViolation: '21000',
  stringDataRightTruncation: '22001',
  numericValueOutOfRange: '22003',
  nullValueNotAllowed: '22004',
  invalidDatetimeFormat: '22007',
  datetimeFieldOverflow: '22008',
  invalidTimeZoneDisplacement: '22009',
  divisionByZero: '22012',
  intervalFieldOverflow: '22015',
  sequenceGeneratorLimitExceeded: '2200H',
  invalidEscapeSequence: '22025',
  invalidRegularExpression: '2201B',
  invalidArgumentForLogarithm: '2201E',
  invalidArgumentForPower: '2201F',
  invalidRowCountInLimit: '2201W',
  invalidRowCountInOffset: '2201X',
  invalidParameterValue: '22023',
  substringError: '22011',
  arraySubscriptError: '2202E',
  invalidTextRepresentation: '22P02',
  invalidBinaryRepresentation: '22P03',
  badCopyFileFormat: '22P04',
  characterNotInRepertoire: '22021',
  untranslatableCharacter: '22P05',
  invalidJsonText: '22032',
  integrityConstraintViolation: '23000',
  notNullViolation: '23502',
  foreignKeyViolation: '23503',
  uniqueViolation: '23505',
  checkViolation: '23514',
  invalidCursorState: '24000',
  activeSqlTransaction: '25001',
  noActiveSqlTransaction: '25P01',
  inFailedSqlTransaction: '25P02',
  idleInTransactionSessionTimeout: '25P03',
  readOnlySqlTransaction: '25006',
  invalidSqlStatementName: '26000',
  dependentObjectsStillExist: '2BP01',
  invalidAuthorizationSpecification: '28000',
  invalidPassword: '28P01',
  invalidCursorName: '34000',
  invalidCatalogName: '3D000',
  invalidSchemaName: '3F000',
  invalidSavepointSpecification: '3B001',
  serializationFailure: '40001',
  statementCompletionUnknown: '40003',
  deadlockDetected: '40P01',
  syntaxError: '42601',
  insufficientPrivilege: '42501',
  cannotCoerce: '42846',
  groupingError: '42803',
  invalidRecursion: '42P19',
  windowingError: '42P20',
  invalidForeignKey: '42830',
  invalidName: '42602',
  nameTooLong: '42622',
  reservedName: '42939',
  datatypeMismatch: '42804',
  indeterminateDatatype: '42P18',
  wrongObjectType: '42809',
  undefinedColumn: '42703',
  undefinedFunction: '42883',
  undefinedTable: '42P01',
  undefinedParameter: '42P02',
  undefinedObject: '42704',
  duplicateColumn: '42701',
  duplicateCursor: '42P03',
  duplicateDatabase: '42P04',
  duplicateFunction: '42723',
  duplicatePreparedStatement: '42P05',
  duplicateSchema: '42P06',
  duplicateTable: '42P07',
  duplicateAlias: '42712',
  duplicateObject: '42710',
  ambiguousColumn: '42702',
  ambiguousFunction: '42725',
  ambiguousParameter: '42P08',
  invalidColumnReference: '42P10',
  invalidTableDefinition: '42P16',
  invalidObjectDefinition: '42P17',
  invalidColumnDefinition: '42611',
  generatedAlways: '428C9',
  invalidPrecedingOrFollowingSize: '22013',
  diskFull: '53100',
  outOfMemory: '53200',
  tooManyConnections: '53300',
  configurationLimitExceeded: '53400',
  programLimitExceeded: '54000',
  statementTooComplex: '54001',
  tooManyColumns: '54011',
  objectNotInPrerequisiteState: '55000',
  objectInUse: '55006',
  lockNotAvailable: '55P03',
  cantChangeRuntimeParam: '55P02',
  queryCanceled: '57014',
  adminShutdown: '57P01',
  cannotConnectNow: '57P03',
  idleSessionTimeout: '57P05',
  ioError: '58030',
  internalError: 'XX000',
  /** CockroachDB's: the transaction has committed, its schema change is not complete. */
  committedWithFailure: 'XXA00',
  dataCorrupted: 'XX001',
} as const;

export type SqlState = (typeof sqlStates)[keyof typeof sqlStates];

export interface SqlErrorFields {
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  /** 1-based character position in the statement text. */
  readonly position?: number | undefined;
  readonly schema?: string | undefined;
  readonly table?: string | undefined;
  readonly column?: string | undefined;
  readonly constraint?: string | undefined;
  readonly dataType?: string | undefined;
  /** CONTEXT lines. */
  readonly where?: string | undefined;
}

/** An expected failure of a statement. */
export class SqlFailure extends Error {
  override readonly name = 'SqlFailure';
  readonly code: SqlState;
  readonly fields: SqlErrorFields;

  constructor(code: SqlState, message: string, fields: SqlErrorFields = {}) {
    super(message);
    this.code = code;
    this.fields = fields;
  }
}

/** `sqlError('undefinedTable', 'relation "x" does not exist', {...})` reads well behind a `throw`. */
export function sqlError(
  state: keyof typeof sqlStates,
  message: string,
  fields?: SqlErrorFields,
): SqlFailure {
  return new SqlFailure(sqlStates[state], message, fields);
}

const wireMark = 'sql:';

/** A failure as text, for the way back from the node where part of a statement ran. */
export function failureToWire({ code, message, fields }: SqlFailure): string {
  return wireMark + JSON.stringify({ code, message, fields });
}

/** Undefined when the text is something else. */
export function failureFromWire(text: string): SqlFailure | undefined {
  if (!text.startsWith(wireMark)) return undefined;
  const { code, message, fields } = JSON.parse(text.slice(wireMark.length)) as SqlFailure;
  return new SqlFailure(code, message, fields);
}
