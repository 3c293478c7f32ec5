/** An object of JSON. */
export type JsonObject = { [key: string]: unknown }

/**
 * A schema of any library that follows Standard Schema and Standard JSON Schema, such as Zod 4.2 and later.
 * See https://standardschema.dev.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => Result<Output> | Promise<Result<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
    readonly jsonSchema?: { readonly input: (options: { target: 'draft-2020-12' }) => JsonObject }
  }
}

type Result<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string }[] }

/** How a tool's parameters are given: as JSON Schema, or as a schema of a library. */
export type Parameters<Input = never> = StandardSchema<unknown, Input> | JsonObject

/** A function that a decision can call. */
export interface Tool<Output = unknown> {
  readonly name: string
  /** What the engine reads. */
  readonly definition: JsonObject
  /** Validates arguments of a decision and calls the function with them. */
  call(args: JsonObject): Promise<Output>
}

/**
 * A function as a tool.
 *
 * @throws TypeError if the parameters' library writes no JSON Schema.
 */
export function tool<Input, Output>(given: {
  name: string
  description?: string
  parameters: StandardSchema<unknown, Input>
  execute: (input: Input) => Output | Promise<Output>
}): Tool<Output>
export function tool<Output>(given: {
  name: string
  description?: string
  parameters: JsonObject
  execute: (input: JsonObject) => Output | Promise<Output>
}): Tool<Output>
export function tool<Output>(given: {
  name: string
  description?: string
  parameters: Parameters<JsonObject>
  execute: (input: JsonObject) => Output | Promise<Output>
}): Tool<Output> {
  const { name, description = '', parameters, execute } = given
  const definition = { name, description, parameters: jsonSchema(parameters) }
  const call = async (args: JsonObject) => execute(await validated(name, parameters, args))
  return { name, definition, call }
}

/** The definition of whatever was given as a tool, and the tool if it can be called. */
export function definitionOf(given: Tool | JsonObject): [JsonObject, Tool | undefined] {
  if (typeof given !== 'object' || given === null) {
    throw new TypeError(`${String(given)} is no tool: give a definition as an object, or what tool() returns`)
  }
  return isTool(given) ? [given.definition, given] : [given, undefined]
}

function isTool(given: Tool | JsonObject): given is Tool {
  return typeof given.call === 'function' && typeof given.definition === 'object'
}

/** The JSON Schema of parameters. */
export function jsonSchema(parameters: Parameters<unknown>): JsonObject {
  if (!isStandard(parameters)) return parameters
  const { vendor, jsonSchema } = parameters['~standard']
  if (jsonSchema === undefined) {
    throw new TypeError(`this version of ${vendor} writes no JSON Schema: use one with Standard JSON Schema, or give it`)
  }
  return jsonSchema.input({ target: 'draft-2020-12' })
}

/** Arguments as the parameters' library makes them; as they are where there is none. */
export async function validated<T>(name: string, parameters: Parameters<T>, args: JsonObject): Promise<T> {
  if (!isStandard(parameters)) return args as T
  const result = await parameters['~standard'].validate(args)
  if (result.issues === undefined) return result.value
  throw new TypeError(`the arguments of ${name} were refused: ${result.issues.map((i) => i.message).join('; ')}`)
}

function isStandard<T>(parameters: Parameters<T>): parameters is StandardSchema<unknown, T> {
  return '~standard' in parameters
}
