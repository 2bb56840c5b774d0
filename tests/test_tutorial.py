"""The tutorial's commands, run as they stand there, one after the other."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = _BLOCK.findall(TUTORIAL)


def _space() -> str:
    (space,) = (text for kind, text in BLOCKS if kind == "toml")
    return space


def _scripts() -> list[str]:
    return [text for kind, text in BLOCKS if kind == "sh"]


def test_the_tutorial_is_made_of_a_space_and_commands():
    assert {kind for kind, _ in BLOCKS} == {"sh", "toml"}
    commands = "\n".join(_scripts())
    assert commands.startswith("make run\n")
    for subcommand in ("describe", "sweep", "report", "area", "run", "verilog"):
        assert f"eyas {subcommand} " in commands


@pytest.mark.long
def test_every_command_of_the_tutorial_works():
    """In the checkout, as a reader would; the interpreter's own environment stands for an activated one."""
    mine = ROOT / "mine.toml"
    assert not mine.exists(), "mine.toml is in the way of the tutorial"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    try:
        mine.write_text(_space())
        shutil.rmtree(ROOT / "build" / "mine", ignore_errors=True)
        for script in _scripts():
            done = subprocess.run(
                ["bash", "-euc", script], cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    finally:
        mine.unlink(missing_ok=True)
    assert (ROOT / "build" / "mine" / "report" / "report.html").is_file()
    assert "module" in (ROOT / "build" / "mine" / "verilog" / "eyas.v").read_text()
