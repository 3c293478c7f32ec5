import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import * as esm from 'needle-rs'

test('import and require give the same package', () => {
  const cjs = createRequire(import.meta.url)('needle-rs') as typeof esm
  assert.deepEqual(Object.keys(esm).sort(), Object.keys(cjs).sort())
  assert.equal(esm.Model, cjs.Model)
})

test('worker threads have their own engine', async () => {
  const code = `const { parentPort } = require('node:worker_threads')
    require('needle-rs').Model.default().then((model) => parentPort.postMessage(model.isCalibrated))`
  const answers = [1, 2, 3].map(() => {
    const worker = new Worker(code, { eval: true })
    return new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))
  })
  assert.deepEqual(await Promise.all(answers), [true, true, true])
})
