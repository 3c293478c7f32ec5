-- What wrk sends to `needle serve`: a request that is passed on without a decision, handed off, or answered locally.
--   wrk -t1 -c1 -d3s --latency -s needle-cli/bench/load.lua http://127.0.0.1:8787/v1/chat/completions -- local
local requests = {
  pass = { ask = "why is the sky blue" },
  handoff = { ask = "why is the sky blue", tools = true },
  ["local"] = { ask = "dim the lights in the bedroom to 30 percent", tools = true },
}
local tools = [[,"tools":[{"type":"function","function":{
  "name":"dim_lights","description":"Dim the lights in a room to a brightness level.",
  "parameters":{"type":"object","properties":{"room":{"type":"string"},"level":{"type":"integer"}},"required":["room","level"]}
}}] ]]

function init(arguments)
  local request = requests[arguments[1]] or error("say pass, handoff or local after --")
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = '{"model":"large","messages":[{"role":"user","content":"'
    .. request.ask .. '"}]' .. (request.tools and tools or "") .. "}"
end
