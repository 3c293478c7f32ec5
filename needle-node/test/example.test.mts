// The examples run as they are, as if they lay in a project of their own.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'

for (const name of ['ai-sdk', 'langchain', 'mastra', 'openai-agents']) {
  test(`the example ${name}`, () => {
    const example = fileURLToPath(new URL(`../../examples/node/${name}.mjs`, import.meta.url))
    // Beside this file its imports are found.
    const copy = fileURLToPath(new URL(`./example-of-${name}.mjs`, import.meta.url))
    copyFileSync(example, copy)
    try {
      const printed = execFileSync(process.execPath, [copy], { encoding: 'utf8' })
      assert.match(printed, /bedroom is at 30 %/)
      assert.match(printed, /blue -> \(the large model's answer\)/)
    } finally {
      rmSync(copy)
    }
  })
}
