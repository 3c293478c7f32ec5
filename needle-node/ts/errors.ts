/** Kinds of errors; the same in all languages. */
export type ErrorCode =
  | 'io'
  | 'checkpoint'
  | 'config'
  | 'tokenizer'
  | 'tool'
  | 'limit'
  | 'option'
  | 'row'
  | 'cancelled'
  | 'deadline_exceeded'
  | 'internal'
  | 'provider_tool'

/** Every code. @internal */
export const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'io',
  'checkpoint',
  'config',
  'tokenizer',
  'tool',
  'limit',
  'option',
  'row',
  'cancelled',
  'deadline_exceeded',
  'internal',
  'provider_tool',
])

// Errors of another copy of this package are recognised too.
const MARK = Symbol.for('needle-rs.error')

/** What every error of the engine is: a caller's or a file's fault. Doubt is no error but a hand-off. */
export class NeedleError extends Error {
  override readonly name = 'NeedleError'
  /** Which kind of error, for programs; the message is for people. */
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string) {
    super(message)
    this.code = code
    Object.defineProperty(this, MARK, { value: true })
  }
}

/** Whether a value is an error of this package, whichever copy of it made it. */
export function isNeedleError(value: unknown): value is NeedleError {
  return typeof value === 'object' && value !== null && MARK in value
}

/** Awaits the engine; its errors become `NeedleError`. */
export async function awaited<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw translated(error)
  }
}

/** Calls the engine; its errors become `NeedleError`. */
export function called<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw translated(error)
  }
}

function translated(error: unknown): unknown {
  if (error instanceof Error && 'code' in error && CODES.has(String(error.code))) {
    return new NeedleError(error.code as ErrorCode, error.message)
  }
  return error
}
