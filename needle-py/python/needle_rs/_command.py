"""The `needle` command."""

import sys

from . import _native


def main() -> int:
    """Runs the command with this process's arguments."""
    return _native.command(["needle", *sys.argv[1:]])
