"""Adapters for agent frameworks: each asks a `needle_rs.Router` first and the large model only if it hands off.

Every module needs the extra of its name, such as `needle-rs[langchain]`.
"""
