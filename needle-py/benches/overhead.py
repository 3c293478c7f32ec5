"""What a call costs beside the engine's work: an empty query is handed off before the model is asked.

python needle-py/benches/overhead.py
"""

import asyncio
import statistics
import time

import needle_rs

TOOLS = [{"name": "ping", "description": "Ping the server."}]
ROUNDS, CALLS = 21, 2000


def median(work) -> float:
    """Microseconds of one call, the median over rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            work()
        times.append((time.perf_counter() - start) / CALLS * 1e6)
    return statistics.median(times)


async def median_async(work) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS // 10):
            await work()
        times.append((time.perf_counter() - start) / (CALLS // 10) * 1e6)
    return statistics.median(times)


tools = needle_rs.Model.default().compile(TOOLS)
print(f"decide  {median(lambda: tools.decide('')):.1f} µs")
print(f"adecide {asyncio.run(median_async(lambda: tools.adecide(''))):.1f} µs")
