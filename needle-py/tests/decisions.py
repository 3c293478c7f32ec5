"""A query whose decision the tests know."""

from pathlib import Path

from needle_rs import Call

ROOT = Path(__file__).parents[2]
TOOLS = (ROOT / "examples/tools.json").read_text("utf-8")
QUERY = "dim the lights in the bedroom to 30 percent"
CALL = Call("dim_lights", {"level": 30, "room": "bedroom"})
