"""Adapters for agent frameworks: each asks a `needle_rs.Router` first and the large model only if it hands off.
MCP, which knows no model, is met with its tools.

Every module needs the extra of its name, such as `needle-rs[langchain]`.
"""
