import { Model } from './model.js'
import type { DecideOptions } from './options.js'
import { type StandardSchema, tool } from './tool.js'

/** Settings of `extract`. */
export interface ExtractOptions extends DecideOptions {
  /** By default the one that comes with this package. */
  model?: Model
  /** What the object is; helps where the schema has no description. */
  description?: string
  name?: string
}

/**
 * Reads an object out of a text; undefined where it is handed off.
 *
 * It compiles the schema each time: for many texts, compile a tool yourself and decide.
 */
export async function extract<Output>(
  text: string,
  schema: StandardSchema<unknown, Output>,
  { model, name = 'extract', description = '', ...options }: ExtractOptions = {},
): Promise<Output | undefined> {
  const reader = tool({ name, description, parameters: schema, execute: (value: Output) => value })
  const tools = await (model ?? (await Model.default())).compile([reader])
  const { results } = await tools.run(text, options)
  return results[0] as Output | undefined
}
