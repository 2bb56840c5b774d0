"""The cost model: every counter and every cycle of a program, from the program alone.

The timing core (:mod:`golden.timeline` and the engines' modules) follows docs/timing.md rule by rule. It runs as
machine code where numba is installed, many times as fast as in plain Python, with the same results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from golden.compiled import available, machine_code
from golden.counters import snapshots
from golden.drain_state import COUNTS
from golden.engine_model import Fields
from golden.mac_model import COUNTED
from golden.table import Table
from golden.timeline import Machine, make_machine, run
from hw import spec
from hw.config import AcceleratorConfig

#: Default DRAM latency.
LATENCY_CYCLES = 40


class DeadlockError(RuntimeError):
    """A program that never ends; the message names the command at the head of each queue."""


@dataclass(frozen=True)
class Prediction:
    """What a program costs.

    Members
    -------
    cycles : int
        From start to interrupt.
    snapshots : tuple of dict
        Every counter at each mark, by counter name.
    """

    cycles: int
    snapshots: tuple[dict[str, int], ...]


#: A process that has predicted so many commands gets the machine code; before that, plain Python is done sooner.
PLAIN_COMMANDS = 3000
_predicted_commands = 0


def predict(
    config: AcceleratorConfig,
    commands: Sequence[tuple[str, Fields]],
    *,
    latency_cycles: int = LATENCY_CYCLES,
    compiled: bool | None = None,
) -> Prediction:
    """Predict a program that ends with a ``mark`` whose ``last`` is set.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    commands : sequence of (command name, fields)
        The program, as :data:`hw.spec.COMMAND` declares it.
    latency_cycles : int
        DRAM latency, see :class:`golden.memory_model.Memory`.
    compiled : bool, optional
        Whether to run machine code; by default once it pays, if there is numba.

    Raises
    ------
    DeadlockError
        If an engine waits for something that never comes.
    ValueError
        If a command has a value that no program can mean.
    """
    if compiled is None:
        compiled = _pays(len(commands))
    table = Table(commands)
    machine = make_machine(config, table, latency_cycles, compiled=compiled)
    cycles = int((machine_code(run) if compiled else run)(machine))
    if not cycles:
        raise DeadlockError(f"the program does not end; queues wait with {_waiting(machine, table) or 'nothing'}")
    mac = _captured(machine, table, machine.array.mac.snapshots, len(COUNTED))
    drain = _captured(machine, table, machine.output.drain.snapshots, COUNTS)
    return Prediction(cycles, snapshots(config, table, mac, drain))


def _captured(machine: Machine, table: Table, address: int, counts: int) -> np.ndarray:
    """Return the counts that an engine captured at each mark."""
    marks = len(table.places("mark"))
    return np.array(machine.data[address : address + marks * counts]).reshape(marks, counts)


def _pays(commands: int) -> bool:
    """Return whether machine code is worth its start: numba's import, or the first time in all a compilation."""
    global _predicted_commands
    _predicted_commands += commands
    return _predicted_commands > PLAIN_COMMANDS and available()


def _waiting(machine: Machine, table: Table) -> str:
    """Return the command at the head of each queue that is not empty."""
    heads = []
    for number, engine in enumerate(spec.ENGINES):
        popped = machine.queues.popped[number]
        if popped < machine.queues.pushed[number]:
            heads.append(f"{engine}: {table.commands[table.of_engine(engine)[popped]][0]}")
    return ", ".join(heads)
