export * from './dist/mastra.js'
