"""Spaces for the tests of sweeps: a few machines, layers that take milliseconds."""

import subprocess
import sys
from pathlib import Path

from hw.config import preset
from sim.sweep.space import Space, Workload

ROOT = Path(__file__).parents[2]
CONV = "conv:C=5,M=9,H=10,W=9,R=3,S=3,pad=1"
FC = "fc:C=50,M=10"

#: Of a process that says when it begins to sweep a space into a folder with so many processes. Before it stores a
#: machine it pauses, perhaps; it may tell how far it is.
SCRIPT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without it
from pathlib import Path
from sim.sweep import SweepInterrupted, load_space, sweep
from sim.sweep.command import INTERRUPTED
from sim.sweep.store import Store

def pause_and_add(store, candidate, outcome, add=Store.add):
    time.sleep(float(pause))
    add(store, candidate, outcome)

path, out, jobs, pause, shown = sys.argv[1:]
space, Store.add = load_space(Path(path)), pause_and_add
print("begins", flush=True)
try:
    sweep(space, Path(out), jobs=int(jobs), progress=shown == "shown")
except SweepInterrupted as error:
    print(error, file=sys.stderr)
    sys.exit(INTERRUPTED)
"""


def small_space(**changes):
    """Return eight machines that compute a convolution and a fully connected layer."""
    fields = {"rows": (2, 4), "cols": (4, 6), "ifmap_spad_words": (8, 32)}
    workloads = (Workload("conv", CONV), Workload("fc", FC, batch=2, layers=("fc",)))
    return Space(**({"base": preset("tiny"), "fields": fields, "workloads": workloads} | changes))


def write_space(folder, text):
    """Write a space's file; return its path."""
    path = folder / "space.toml"
    path.write_text(text)
    return path


def start_sweep(space, out, jobs, pause=0.0):
    """Start a process, in a group of its own, that sweeps the space of a file; return when it begins."""
    command = [sys.executable, "-c", SCRIPT, str(space), str(out), str(jobs), str(pause), "quiet"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, text=True, **pipes)
    assert process.stdout.readline() == "begins\n", process.communicate()[1]
    return process
