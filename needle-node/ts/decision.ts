import { parseJson } from './json.js'

/** Why a query is handed off. */
export const Reason = {
  LowConfidence: 'low_confidence',
  NoMatchingTool: 'no_matching_tool',
  MultiStep: 'multi_step',
  UnsupportedSchema: 'unsupported_schema',
  InputTooLong: 'input_too_long',
  NotAUserTurn: 'not_a_user_turn',
  UngroundedArguments: 'ungrounded_arguments',
  OutputLimit: 'output_limit',
  InvalidArguments: 'invalid_arguments',
  UnsupportedRequest: 'unsupported_request',
  DeniedTool: 'denied_tool',
  Deadline: 'deadline',
} as const
/** Why a query is handed off. */
export type Reason = (typeof Reason)[keyof typeof Reason]

/** One call of one tool, by the name that the caller gave it. */
export interface Call {
  name: string
  /** Valid against the tool's schema. Integers beyond 2^53 are BigInt. */
  arguments: Record<string, unknown>
}

/** An argument that the query does not contain. */
export interface Ungrounded {
  /** Index of the call. */
  call: number
  /** JSON pointer into the arguments. */
  pointer: string
  value: string
}

/** Where the time went, in milliseconds. */
export interface Timings {
  encodeMs: number
  decodeMs: number
  totalMs: number
}

interface Common {
  /** Probability that the answer is right; null if the model is not calibrated or was not asked. */
  confidence: number | null
  ungrounded: Ungrounded[]
  timings: Timings
}

/** Calls to make, or a hand-off to a larger model. */
export type Decision =
  | (Common & {
      isCall: true
      /** At least one call, in the order to make them. */
      calls: Call[]
      reason: null
    })
  | (Common & {
      isCall: false
      calls: []
      reason: Reason
      /** What exactly, in words for a log. */
      detail: string
      /** What the model would have called, if it could be read; never call it unseen. */
      suppressedCalls: Call[]
    })

/** Progress of a decision. All before `done` is provisional: only the decision says whether calls may be made. */
export type Event =
  | { type: 'text'; text: string }
  | { type: 'tool_name'; call: number; name: string }
  | { type: 'call_finished'; call: number }
  | { type: 'done'; decision: Decision }

/** A decision as the engine writes it (`schemas/decision.schema.json`). */
export interface Written {
  calls?: Call[]
  confidence: number | null
  ungrounded?: Ungrounded[]
  timings: { encode_ms: number; decode_ms: number; total_ms: number }
  reason?: Reason
  detail?: string
  suppressed_calls?: Call[]
}

/** Reads a decision as the engine writes it. */
export function parseDecision(text: string): Decision {
  return readDecision(parseJson(text) as Written)
}

/** A decision in this package's form. */
export function readDecision(written: Written): Decision {
  const { calls, confidence, ungrounded = [], timings, reason, detail, suppressed_calls } = written
  const common = {
    confidence,
    ungrounded,
    timings: { encodeMs: timings.encode_ms, decodeMs: timings.decode_ms, totalMs: timings.total_ms },
  }
  if (reason === undefined) return { isCall: true, calls: calls ?? [], reason: null, ...common }
  return {
    isCall: false,
    calls: [],
    reason,
    detail: detail ?? '',
    suppressedCalls: suppressed_calls ?? [],
    ...common,
  }
}
