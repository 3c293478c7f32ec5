// OpenAI's own client against `needle serve`, the command that NEEDLE_COMMAND names; a local server is the large model.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { after, before, beforeEach, describe, test } from 'node:test'
import OpenAI, { InternalServerError, RateLimitError } from 'openai'

const COMMAND = process.env['NEEDLE_COMMAND']
const ASK = 'dim the lights in the bedroom to 30 percent'
const CALL = { name: 'dim_lights', arguments: '{"room":"bedroom","level":30}' }
const dimLights = {
  name: 'dim_lights',
  description: 'Dim the lights in a room to a brightness level.',
  parameters: {
    type: 'object',
    properties: {
      room: { type: 'string', description: 'Room where the lights are' },
      level: { type: 'integer', description: 'Brightness in percent' },
    },
    required: ['room', 'level'],
  },
}
const chat = (content: string) => ({
  model: 'large',
  messages: [{ role: 'user' as const, content }],
  tools: [{ type: 'function' as const, function: dimLights }],
})
const input = (input: string) => ({
  model: 'large',
  input,
  tools: [{ type: 'function' as const, strict: false, ...dimLights }],
})

/** What the large model says: text that is not the same once it is read and written again. */
const SAID = {
  chat: ['{"id":"1",  "choices":[{"index":0,"message":{"role":"assistant",', '"content":"d\\u006fne"},"x":1e400}]}\n'],
  chatStream: [
    'data: {"id":"1","choices":[{"index":0,  "delta":{"role":"assistant","content":"d\\u006f"}}]}\n\n',
    'data:{"id":"1","choices":[{"index":0,"delta":{"content":"ne"},"finish_reason":"stop"}]}\n\n',
    ': so be it\n\ndata: [DONE]\n\n',
  ],
  responses: ['{"id":"1",  "output":[{"type":"message",', '"content":[{"type":"output_text","text":"d\\u006fne"}]}]}'],
  responsesStream: [
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",  "delta":"d\\u006f"}\n\n',
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"ne"}\n\n',
  ],
}

describe('needle serve', { skip: COMMAND ? false : 'NEEDLE_COMMAND names no command' }, () => {
  const asked: object[] = []
  let folder: string
  let server: Server
  let needle: ChildProcess
  let ended: Promise<unknown[]>
  let client: OpenAI
  let direct: OpenAI
  /** What the large model waits for in the middle of its answer. */
  let pause = Promise.resolve()
  /** Called when the head of an answer has arrived. */
  let arrived = () => {}

  async function large(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url, headers } = request
    const body = await text(request)
    // These two belong to the connection, not to the request.
    asked.push({ method, url, body, ...headers, host: '', connection: '' })
    const { messages, input, stream } = JSON.parse(body)
    const ask = input ?? messages.at(-1).content
    const status = ask === 'refuse' ? 429 : ask === 'fail' ? 500 : 200
    const type = stream ? 'text/event-stream' : 'application/json'
    response.writeHead(status, { 'content-type': type, 'retry-after': '7' })
    if (status !== 200) return void response.end('{"error": {"message":  "not n\\u006fw"}}')
    const [first, ...rest] = SAID[`${input ? 'responses' : 'chat'}${stream ? 'Stream' : ''}` as keyof typeof SAID]
    response.write(first)
    await pause
    if (ask === 'break off') response.destroy()
    else response.end(rest.join(''))
  }

  before(async () => {
    server = createServer(large).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const upstream = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    folder = mkdtempSync(join(tmpdir(), 'needle-'))
    const policy = join(folder, 'policy.json')
    writeFileSync(policy, '{"threshold": 0}')
    needle = spawn(COMMAND!, ['serve', '--port', '0', '--policy', policy, '--upstream', upstream], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    ended = once(needle, 'exit')
    const [line] = await Promise.race([once(createInterface(needle.stderr!), 'line'), ended])
    assert.match(String(line), /^listening on http/)
    const watched: typeof fetch = async (...given) => {
      const response = await fetch(...given)
      arrived()
      return response
    }
    const to = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'k', maxRetries: 0, fetch: watched })
    client = to(line.split(' ').at(-1))
    direct = to(upstream)
  })
  beforeEach(() => {
    asked.length = 0
    pause = Promise.resolve()
    arrived = () => {}
  })
  after(async () => {
    server.close()
    rmSync(folder, { recursive: true })
    needle.kill()
    assert.deepEqual(await ended, [0, null])
  })

  test('a local answer of chat completions', async () => {
    const { data, response } = await client.chat.completions.create(chat(ASK)).withResponse()
    const [choice] = data.choices
    assert.equal(response.headers.get('x-needle-route'), 'local')
    assert.equal(choice!.finish_reason, 'tool_calls')
    const final = await client.chat.completions.stream(chat(ASK)).finalChatCompletion()
    for (const { message } of [choice!, final.choices[0]!]) {
      const [call] = message.tool_calls!
      assert(call?.type === 'function')
      assert.deepEqual({ name: call.function.name, arguments: call.function.arguments }, CALL)
    }
    assert.equal(asked.length, 0)
  })

  test('a local answer of responses', async () => {
    const created = await client.responses.create(input(ASK))
    const streamed = await client.responses.stream(input(ASK)).finalResponse()
    for (const { output } of [created, streamed]) {
      const [item] = output
      assert(item?.type === 'function_call')
      assert.deepEqual({ name: item.name, arguments: item.arguments }, CALL)
    }
    assert.equal(asked.length, 0)
  })

  const ways = {
    'chat completions': (to: OpenAI, ask: string) => to.chat.completions.create(chat(ask)),
    'a stream of chat completions': (to: OpenAI, ask: string) =>
      to.chat.completions.create({ ...chat(ask), stream: true }),
    responses: (to: OpenAI, ask: string) => to.responses.create(input(ask)),
    'a stream of responses': (to: OpenAI, ask: string) => to.responses.create({ ...input(ask), stream: true }),
  }
  for (const [name, create] of Object.entries(ways)) {
    test(`a hand-off, byte for byte: ${name}`, async () => {
      const answers = []
      for (const to of [client, direct]) {
        const response = await create(to, 'why is the sky blue').asResponse()
        answers.push([response.status, response.headers.get('content-type'), await response.text()])
        assert.equal(response.headers.get('x-needle-route'), to === client ? 'handoff' : null)
      }
      assert.deepEqual(answers[0], answers[1])
      assert.deepEqual(asked[0], asked[1])
    })

    test(`errors of the large model are the client's: ${name}`, async () => {
      const refused = (error: unknown) =>
        error instanceof RateLimitError && error.message === '429 not now' && error.headers.get('retry-after') === '7'
      await assert.rejects(create(client, 'refuse').then(), refused)
      const failed = { constructor: InternalServerError, message: '500 not now' }
      await assert.rejects(create(client, 'fail').then(), failed)
    })

    test(`what breaks off is an error: ${name}`, async () => {
      const errors = []
      for (const to of [client, direct]) {
        pause = new Promise((resolve) => (arrived = resolve))
        const read = async () => {
          const answer: object = await create(to, 'break off')
          if (Symbol.asyncIterator in answer) for await (const _ of answer as AsyncIterable<unknown>);
        }
        errors.push(await read().catch(String))
      }
      assert(errors[0] !== undefined && errors[0] === errors[1], errors.join())
    })
  }

  test('the words of a stream arrive as they are said', async () => {
    let goOn = () => {}
    pause = new Promise((resolve) => (goOn = resolve))
    const words = []
    for await (const { choices } of await client.chat.completions.create({ ...chat('why'), stream: true })) {
      words.push(choices[0]!.delta.content)
      // Were the first one held back, the large model would wait for ever.
      goOn()
    }
    assert.deepEqual(words, ['do', 'ne'])
  })

  test('sixteen at once', async () => {
    const levels = Array.from({ length: 16 }, (_, index) => index + 1)
    const answers = levels.map(async (level) => {
      const ask = level % 2 ? `dim the lights in the bedroom to ${level} percent` : `why is the sky ${level}`
      const { message } = (await client.chat.completions.create(chat(ask))).choices[0]!
      const [call] = message.tool_calls ?? []
      return call?.type === 'function' ? JSON.parse(call.function.arguments).level : message.content
    })
    assert.deepEqual(await Promise.all(answers), levels.map((level) => (level % 2 ? level : 'done')))
  })
})
