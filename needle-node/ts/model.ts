import native from './native.js'
import { awaited, called } from './errors.js'
import { type JsonObject, type Tool, definitionOf } from './tool.js'
import { Toolset } from './toolset.js'

/** Settings of a list of tools. */
export interface CompileOptions {
  /** Threads that share the work of compiling tools and of one decision; 1 by default. */
  threads?: number
}

/** A network with its tokenizer and calibration; immutable, shared by all that is compiled for it. */
export class Model {
  /** @internal */
  readonly native: native.Model

  private constructor(model: native.Model) {
    this.native = model
  }

  /** The model that comes with this package. */
  static async default(): Promise<Model> {
    return new Model(await awaited(native.Model.embedded()))
  }

  /** As `default`, at once. */
  static defaultSync(): Model {
    return new Model(called(() => native.Model.embeddedSync()))
  }

  /**
   * A model from a bundle directory or file.
   *
   * @throws NeedleError if there is none, or it is damaged.
   */
  static async open(path: string): Promise<Model> {
    return new Model(await awaited(native.Model.open(path)))
  }

  /** As `open`, at once. */
  static openSync(path: string): Model {
    return new Model(called(() => native.Model.openSync(path)))
  }

  /**
   * Compiles tools, once for any number of decisions.
   *
   * @param tools What `tool` returns, definitions of any common format as objects, MCP tools; or a list of definitions as
   *   JSON text.
   * @throws NeedleError if a definition cannot be understood.
   */
  async compile(tools: readonly (Tool | JsonObject)[] | string, options: CompileOptions = {}): Promise<Toolset> {
    const [text, functions] = read(tools)
    return new Toolset(await awaited(this.native.compile(text, options.threads ?? 1)), functions)
  }

  /** As `compile`, at once. */
  compileSync(tools: readonly (Tool | JsonObject)[] | string, options: CompileOptions = {}): Toolset {
    const [text, functions] = read(tools)
    return new Toolset(called(() => this.native.compileSync(text, options.threads ?? 1)), functions)
  }

  /** Sizes and options of the network. */
  get config(): JsonObject {
    return JSON.parse(called(() => this.native.config())) as JsonObject
  }

  /** Whether decisions have a confidence. */
  get isCalibrated(): boolean {
    return this.native.isCalibrated
  }
}

/** The definitions as JSON text, and what can be called of them. */
function read(tools: readonly (Tool | JsonObject)[] | string): [string, Map<string, Tool>] {
  const functions = new Map<string, Tool>()
  if (typeof tools === 'string') return [tools, functions]
  const definitions = tools.map((given) => {
    const [definition, callable] = definitionOf(given)
    if (callable !== undefined) functions.set(callable.name, callable)
    return definition
  })
  return [JSON.stringify(definitions), functions]
}
