export { needleMiddleware, needleToolSelector } from './dist/langchain.js'
