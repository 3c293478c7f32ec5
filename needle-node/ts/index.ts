/**
 * Small decisions of an agent, made locally: a query and a list of tools in, function calls or a hand-off out.
 *
 * @example
 * import { Model, tool } from 'needle-rs'
 * import { z } from 'zod'
 *
 * const setTimer = tool({
 *   name: 'set_timer',
 *   description: 'Start a countdown timer.',
 *   parameters: z.object({ minutes: z.number().int() }),
 *   execute: ({ minutes }) => `${minutes} minutes`,
 * })
 * const model = await Model.default()
 * const tools = await model.compile([setTimer])
 * const decision = await tools.decide('set a timer for ten minutes')
 * if (decision.isCall) console.log(decision.calls)
 *
 * @packageDocumentation
 */
export { type Call, type Decision, type Event, Reason, type Timings, type Ungrounded } from './decision.js'
export { type ErrorCode, NeedleError, isNeedleError } from './errors.js'
export { type ExtractOptions, extract } from './extract.js'
export { type CompileOptions, Model } from './model.js'
export type { DecideOptions, Options } from './options.js'
export { type Api, type Near, type Policy, type Routed, Router, type RouterOptions, type Seen } from './router.js'
export { type JsonObject, type Parameters, type StandardSchema, type Tool, tool } from './tool.js'
export { type Run, Toolset } from './toolset.js'
