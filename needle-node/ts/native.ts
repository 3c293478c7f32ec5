// The loader of the addon that napi writes; it lies at the package's root, beside the addon.
import native = require('../native.js')

export default native
