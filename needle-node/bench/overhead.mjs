// What a call costs beside the engine's work: an empty query is handed off before the model is asked.
// npm run build && node bench/overhead.mjs
import { Model } from 'needle-rs'

const tools = await (await Model.default()).compile([{ name: 'ping', description: 'Ping the server.' }])
const [ROUNDS, CALLS] = [21, 2000]

/** Microseconds of one call, the median over rounds. */
async function median(work) {
  const times = []
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now()
    for (let call = 0; call < CALLS; call++) await work()
    times.push(((performance.now() - start) / CALLS) * 1000)
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1].toFixed(1)
}

console.log(`decideSync ${await median(() => tools.decideSync(''))} µs`)
console.log(`decide     ${await median(() => tools.decide(''))} µs`)
