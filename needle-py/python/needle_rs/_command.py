"""The `needle` command."""

import signal
import sys

from . import _native


def main() -> int:
    """Runs the command with this process's arguments."""
    # Python's handler would wait for the command to end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.command(["needle", *sys.argv[1:]])
