export { needleProcessor } from './dist/mastra.js'
