"""The package's types: strict, and the stub says what the module holds."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", [["mypy"], ["mypy.stubtest", "needle_rs._native"]])
def test_types_are_right(command):
    done = subprocess.run([sys.executable, "-m", *command], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
