import native from './native.js'
import { type Event, parseDecision } from './decision.js'
import { awaited } from './errors.js'

/** Yields the events of a decision, `done` last; leaving early ends the decision. */
export async function* stream(
  toolset: native.Toolset,
  query: string,
  options: string,
  cancel: native.Cancel,
): AsyncGenerator<Event, void, undefined> {
  const waiting: Event[] = []
  let wake: () => void = () => {}
  let failure: { error: unknown } | undefined
  const put = (kind: string, call: number, text: string) => {
    if (kind === 'text') waiting.push({ type: 'text', text })
    if (kind === 'tool_name') waiting.push({ type: 'tool_name', call, name: text })
    if (kind === 'call_finished') waiting.push({ type: 'call_finished', call })
    if (kind === 'decision') waiting.push({ type: 'done', decision: parseDecision(text) })
    wake()
  }
  awaited(toolset.stream(query, options, cancel, put)).catch((error: unknown) => {
    failure = { error }
    wake()
  })
  try {
    for (;;) {
      const event = waiting.shift()
      if (event !== undefined) {
        yield event
        if (event.type === 'done') return
      } else if (failure !== undefined) {
        throw failure.error
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
  } finally {
    cancel.cancel()
  }
}
