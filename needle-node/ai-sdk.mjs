export { needleMiddleware, needleMiddlewareV2, needleMiddlewareV3 } from './dist/ai-sdk.js'
