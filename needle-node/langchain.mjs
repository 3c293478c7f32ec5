export { needleMiddleware } from './dist/langchain.js'
