"""The timing core: the engines' steps, and in the order of time what is arbitrated.

Each engine's commands get their start and end from the rules of docs/timing.md as maxima and sums of earlier cycles, as
soon as these are known. Only three things need the order of time: the arbitration of ARs, the grants of the DRAM bus,
and the last bank read of drain's block, which the psum chain's head may delay. At most one of each is planned, and
which goes first within a cycle does not matter: what they decide is seen in the next cycle at the earliest.
"""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any, NamedTuple

import numpy as np

from golden.compiled import Data, Vector, as_record, compilable
from golden.drain_model import end_write, step_drain
from golden.drain_reads import reach_last_read
from golden.drain_state import Output, make_drain
from golden.engine_model import DELIVER, DRAIN, FETCH, LOAD, MAC, NEVER, STAGE, Marks, Queues, is_any_awake
from golden.execute_model import Ring, Stage, make_deliver, make_stage, step_deliver, step_stage
from golden.fetch_model import Fetch, accept_fetch, make_fetch, receive_commands, step_fetch
from golden.load_model import Load, accept_load, first_beat, make_load, receive_load, step_load
from golden.mac_model import Array, make_heads, make_mac, step_mac
from golden.memory_model import (
    FETCH_READS,
    IN_FLIGHT,
    LOAD_READS,
    RESIDUAL_READS,
    Bursts,
    Bus,
    Memory,
    Port,
    arbitrate,
    begin_read,
    begin_write,
    oldest_accepted,
    plan_next_grant,
)
from golden.residual_model import Residual, accept_residual, receive_residual
from golden.table import Table
from golden.tokens import FILTER_FREE, HALVES, Credits, Tokens, give, make_tokens
from golden.write_model import Writer
from hw.config import AcceleratorConfig


class Machine(NamedTuple):
    """All that changes from cycle to cycle."""

    queues: Queues
    tokens: Tokens
    marks: Marks
    memory: Memory
    fetch: Fetch
    load: Load
    stage: Stage
    array: Array
    output: Output
    data: Vector


def make_machine(config: AcceleratorConfig, table: Table, latency_cycles: int, *, compiled: bool) -> Machine:
    """Return a machine before the first cycle of a program.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine's parameters.
    table : Table
        The program.
    latency_cycles : int
        DRAM latency.
    compiled : bool
        Whether it is for compiled code.

    Raises
    ------
    ValueError
        If a command has a value that no program can mean.
    """
    data, queues = Data(), Queues(config.queue_depth)
    tokens = make_tokens(table, data)
    array = Array(make_deliver(config, table, data), Ring(), make_mac(config, table, data), make_heads(table, data))
    output = Output(
        make_drain(config, table, data),
        Credits(config.drain_fifo_beats),
        Residual(config.bus_bytes),
        Credits(config.residual_fifo_beats),
        Writer(config.bus_bytes, config.outstanding_writes),
    )
    machine = Machine(
        queues=queues,
        tokens=tokens,
        marks=Marks(),
        memory=Memory(Port(config.outstanding_reads), Bus(latency_cycles), Bursts(), Bursts()),
        fetch=make_fetch(table, data),
        load=make_load(config, table, data),
        stage=make_stage(table, data),
        array=array,
        output=output,
        data=data.vector(compiled=compiled),
    )
    give(tokens, queues, machine.data, HALVES, 0, 2)
    give(tokens, queues, machine.data, FILTER_FREE, 0, config.filter_lane_words)
    return _as_records(machine) if compiled else machine  # type: ignore[no-any-return]


def _as_records(state: Any) -> Any:
    if is_dataclass(state):
        return as_record(state)
    return state if isinstance(state, np.ndarray) else type(state)(*map(_as_records, state))


@compilable
def run(machine: Machine) -> int:
    """Run the program; return the cycle of the interrupt, 0 if it never comes."""
    drain, bus, port = machine.output.drain, machine.memory.bus, machine.memory.port
    settle(machine)
    now = min(port.arbitration, bus.grant, drain.last_read)
    while now < NEVER:
        if now == drain.last_read:
            reach_last_read(machine.output, machine.array.heads, machine.queues, machine.tokens, machine.data)
        elif now == bus.grant:
            grant(machine, now)
        else:
            accept(machine, now)
        if is_any_awake(machine.queues):
            settle(machine)
        now = min(port.arbitration, bus.grant, drain.last_read)
    return drain.finished


@compilable
def settle(machine: Machine) -> None:
    """Let every engine take all steps whose time is known."""
    queues, tokens, marks, memory, fetch, load, stage, array, output, data = machine
    awake = queues.awake
    while is_any_awake(queues):
        if awake[FETCH]:
            awake[FETCH] = 0
            while step_fetch(fetch, queues, marks, memory.port, data):
                pass
        if awake[LOAD]:
            awake[LOAD] = 0
            while step_load(load, queues, tokens, marks, memory.port, data):
                pass
        if awake[STAGE]:
            awake[STAGE] = 0
            while step_stage(stage, queues, tokens, marks, data):
                pass
        if awake[DELIVER]:
            awake[DELIVER] = 0
            while step_deliver(array.deliver, array.ring, queues, tokens, marks, data):
                pass
        if awake[MAC]:
            awake[MAC] = 0
            while step_mac(array, queues, tokens, marks, data):
                pass
        if awake[DRAIN]:
            awake[DRAIN] = 0
            while step_drain(output, array.heads, queues, tokens, marks, memory, data):
                pass


@compilable
def accept(machine: Machine, now: int) -> None:
    """Arbitrate in cycle ``now``."""
    queues, port = machine.queues, machine.memory.port
    reader = arbitrate(machine.memory, now)
    if reader == FETCH_READS:
        accept_fetch(machine.fetch, queues, now)
    elif reader == RESIDUAL_READS:
        accept_residual(machine.output.residual, queues, port, now)
    elif reader == LOAD_READS:
        accept_load(machine.load, queues, port, machine.data, now)


@compilable
def grant(machine: Machine, now: int) -> None:
    """Give the bus to the oldest write burst, or else to the oldest read burst, if one may begin in cycle ``now``."""
    memory = machine.memory
    if oldest_accepted(memory.writes) < now:
        write_burst(machine, now)
    elif oldest_accepted(memory.reads) + memory.bus.latency <= now:
        read_burst(machine, now)
    plan_next_grant(memory)


@compilable
def write_burst(machine: Machine, first: int) -> None:
    """Transfer the oldest write burst from cycle ``first`` on."""
    output, queues, tokens, marks, data = machine.output, machine.queues, machine.tokens, machine.marks, machine.data
    bus, writes = machine.memory.bus, machine.memory.writes
    index = begin_write(machine.memory, first)
    response = bus.free - 1 + bus.latency
    end_write(output, queues, tokens, marks, data, first, writes.beats[index], response, writes.tag[index])


@compilable
def read_burst(machine: Machine, now: int) -> None:
    """Transfer the oldest read burst, offered from cycle ``now`` on."""
    queues, load, reads = machine.queues, machine.load, machine.memory.reads
    reader = reads.reader[reads.oldest % IN_FLIGHT]
    first = first_beat(load, now) if reader == LOAD_READS else now
    index = begin_read(machine.memory, first)
    last, tag = machine.memory.bus.free - 1, reads.tag[index]
    if reader == FETCH_READS:
        receive_commands(machine.fetch, queues, first, reads.beats[index])
    elif reader == RESIDUAL_READS:
        receive_residual(machine.output.residual, queues, last, tag)
    else:
        receive_load(load, queues, machine.tokens, machine.marks, machine.data, last, tag // 2, tag % 2)
