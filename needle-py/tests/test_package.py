"""What is installed: the command, the README's example, the types."""

import subprocess
import sys
from pathlib import Path

import pytest

from decisions import QUERY, ROOT

PROJECT = Path(__file__).parents[1]


def run(*command: object, **options) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_command_is_installed():
    command = Path(sys.executable).parent / "needle"
    found = run(command, "run", "--tools", ROOT / "examples/tools.json", "--query", QUERY)
    assert found == '[{"name":"dim_lights","arguments":{"level":30,"room":"bedroom"}}]\n'


def test_the_readme_runs():
    snippet = (PROJECT / "README.md").read_text("utf-8").split("```python\n")[1].split("```")[0]
    found = run(sys.executable, "-c", snippet)
    assert "Call(name='dim_lights', arguments={'level': 30, 'room': 'bedroom'})" in found
    assert "['bedroom: 30 %']" in found


def test_the_trainer_is_found_without_loading_the_engine():
    run(sys.executable, "-c", "import needle_rs.train, sys; assert 'needle_rs._native' not in sys.modules")


def test_all_names_exist():
    run(sys.executable, "-c", "from needle_rs import *; print(Model, extract)")


# Of itself, pyright looks at whichever interpreter is first on the path.
PYRIGHT = ["pyright", "--pythonpath", sys.executable]


@pytest.mark.parametrize("command", [["mypy"], ["mypy.stubtest", "needle_rs._native"], PYRIGHT])
def test_types_are_right(command):
    run(sys.executable, "-m", *command, cwd=PROJECT)
