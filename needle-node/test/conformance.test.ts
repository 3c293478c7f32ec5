// The vectors of tests/conformance in JavaScript.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { type Call, type Decision, type Event, isNeedleError, Model, type Options } from 'needle-rs'
import native = require('../native.js')

interface Expected {
  decision: 'call' | 'handoff'
  calls?: Call[]
  confidence: number | null
  reason?: string
  detail?: string
  suppressed_calls?: Call[]
  ungrounded?: unknown[]
}

interface Case {
  name: string
  toolset?: string
  tools_text?: string
  queries: string[]
  options?: Options
  cancel?: boolean
  repeat?: number
  expect: { decisions?: Expected[]; events?: object[][]; error?: { code: string; message: string } }
}

const path = join(__dirname, '../../tests/conformance/vectors.json')
const vectors = JSON.parse(readFileSync(path, 'utf8')) as { toolsets: Record<string, unknown>; cases: Case[] }
/** CPUs round f32 differently. */
const TOLERANCE = 0.02

function plain(decision: Decision): Expected {
  const { confidence, ungrounded } = decision
  const answer: Expected = decision.isCall
    ? { decision: 'call', calls: decision.calls, confidence }
    : {
        decision: 'handoff',
        reason: decision.reason,
        detail: decision.detail,
        confidence,
        suppressed_calls: decision.suppressedCalls,
      }
  return ungrounded.length === 0 ? answer : { ...answer, ungrounded }
}

function assertSame(found: Decision, expected: Expected | undefined): void {
  assert(expected !== undefined)
  const { confidence, ...rest } = plain(found)
  const { confidence: wanted, ...wantedRest } = expected
  if (rest.reason === 'low_confidence' && wantedRest.reason === 'low_confidence') {
    // The detail quotes the confidence.
    delete rest.detail
    delete wantedRest.detail
  }
  assert.deepEqual(rest, wantedRest)
  assert.equal(confidence === null, wanted === null)
  assert(Math.abs((confidence ?? 0) - (wanted ?? 0)) <= TOLERANCE)
}

async function decide(model: Model, c: Case): Promise<void> {
  const tools = await model.compile(c.tools_text ?? JSON.stringify(vectors.toolsets[c.toolset ?? '']))
  const { options = {}, queries, repeat = 1, expect } = c
  if (c.cancel || typeof options !== 'object' || Array.isArray(options)) {
    await natively(c)
    return
  }
  for (let i = 0; i < repeat; i++) {
    for (const [index, query] of queries.entries()) {
      const found = i % 2 === 0 ? await tools.decide(query, options) : tools.decideSync(query, options)
      assertSame(found, expect.decisions?.[index])
    }
  }
  const batches = [await tools.decideBatch(queries, options), tools.decideBatchSync(queries, options)]
  for (const batch of batches) {
    for (const [index, found] of batch.entries()) assertSame(found, expect.decisions?.[index])
  }
  for (const [index, events] of (expect.events ?? []).entries()) {
    const streamed: Event[] = []
    for await (const event of tools.stream(queries[index] ?? '', options)) streamed.push(event)
    const last = streamed.pop()
    assert(last?.type === 'done')
    assertSame(last.decision, expect.decisions?.[index])
    assert.deepEqual([...streamed, { type: 'done' }], events)
  }
}

/** What TypeScript does not allow or reports in its own way: wrong options, and a flag that is set before the start. */
async function natively(c: Case): Promise<void> {
  const tools = (await native.Model.embedded()).compileSync(JSON.stringify(vectors.toolsets[c.toolset ?? '']), 1)
  const cancel = new native.Cancel()
  if (c.cancel) cancel.cancel()
  await tools.decide(c.queries[0] ?? '', JSON.stringify(c.options ?? {}), cancel)
}

describe('conformance', () => {
  let model: Model
  before(async () => {
    model = await Model.default()
  })
  assert(vectors.cases.length >= 150)
  for (const c of vectors.cases) {
    test(c.name, async () => {
      const { error } = c.expect
      if (error === undefined) return decide(model, c)
      await assert.rejects(decide(model, c), (found) => {
        assert(found instanceof Error && 'code' in found)
        assert.deepEqual({ code: found.code, message: found.message }, error)
        return isNeedleError(found) || c.cancel === true || Array.isArray(c.options) || typeof c.options !== 'object'
      })
    })
  }
})
