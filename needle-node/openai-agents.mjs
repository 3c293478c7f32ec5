export { needleModel } from './dist/openai-agents.js'
