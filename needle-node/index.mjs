// One copy of the package, whichever way it is loaded.
export { Model, NeedleError, Reason, Router, Toolset, extract, isNeedleError, tool } from './dist/index.js'
