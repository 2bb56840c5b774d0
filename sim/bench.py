"""The cocotb test that runs programs on the simulated system of ``top.sv``; started by :mod:`sim.simulator`.

While a program runs, only the simulator works: Python sleeps until the interrupt, or a heartbeat.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, First, RisingEdge, Timer
from cocotb.utils import get_sim_time

from hw import spec

JOBS_VARIABLE = "EYAS_JOBS"
"""Environment variable: the file with the list of jobs."""

EVENTS_FILE = "events.jsonl"
"""Beside the jobs: a line per heartbeat (``job``, ``cycles``) and per finished job (``job``, ``result``)."""

HEARTBEAT_CYCLES = 500_000
_PERIOD_NS = 10
_RESET_CYCLES = 4
_BUS_CYCLES = 100
_POLLS = 10_000
_INPUTS = (
    *("words", "job", "load", "dump", "dump_base", "dump_limit"),
    *("csr_write", "csr_read", "csr_address", "csr_data"),
)


class Csrs:
    """The registers of the machine, by their names in the contract."""

    def __init__(self, dut: Any) -> None:
        self._dut = dut

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        self._dut.csr_data.value = value
        await self._access("write", name)

    async def read(self, name: str) -> int:
        """Return the value of a register."""
        await self._access("read", name)
        return int(self._dut.csr_value.value)

    async def _access(self, kind: str, name: str) -> None:
        dut, request = self._dut, getattr(self._dut, f"csr_{kind}")
        dut.csr_address.value = spec.CSR[name].offset
        request.value = 1
        for _ in range(_BUS_CYCLES):
            await FallingEdge(dut.clk)
            if dut.csr_done.value == 1:
                break
        else:
            raise AssertionError(f"the {kind} of CSR {name} was not answered")
        request.value = 0
        await FallingEdge(dut.clk)
        assert dut.csr_response.value == 0, f"the {kind} of CSR {name} was answered with an error"

    async def bits(self, name: str) -> dict[str, bool]:
        """Return the named bits of a register."""
        value = await self.read(name)
        return {bit: bool(value >> position & 1) for position, bit in enumerate(spec.CSR[name].bits)}

    async def set(self, name: str, *bits: str) -> None:
        """Write a register: ones to the bits named, zeros elsewhere."""
        await self.write(name, sum(1 << spec.CSR[name].bits.index(bit) for bit in bits))


class Bench:
    """Runs jobs one after the other; ``emit`` is called with each event."""

    def __init__(self, dut: Any, emit: Any) -> None:
        self._dut, self._emit, self._csrs = dut, emit, Csrs(dut)

    async def reset(self) -> None:
        """Reset the whole system and look whether it is what it should be."""
        dut = self._dut
        for name in _INPUTS:
            getattr(dut, name).value = 0
        dut.rst.value = 1
        for _ in range(_RESET_CYCLES):
            await FallingEdge(dut.clk)
        dut.rst.value = 0
        await FallingEdge(dut.clk)
        for name, expected in (("identifier", spec.IDENTIFIER), ("version", spec.VERSION), ("status", 0)):
            value = await self._csrs.read(name)
            assert value == expected, f"CSR {name} is {value:#x} after reset, not {expected:#x}"

    async def run(self, index: int, job: dict[str, Any]) -> bool:
        """Run one job; return whether the machine is idle again, ready for the next one."""
        dut, csrs = self._dut, self._csrs
        for name in ("words", "dump_base", "dump_limit"):
            getattr(dut, name).value = job[name]
        dut.job.value = index
        await self._pulse(dut.load)
        for name in ("program_address", "program_commands", "window_base", "window_limit"):
            await csrs.write(name, job[name])
        wall, begin = time.perf_counter(), get_sim_time("ns")
        await csrs.set("control", "start")
        finished = await self._interrupt(index, job["timeout_cycles"])
        result: dict[str, Any] = {
            "simulated_cycles": int(get_sim_time("ns") - begin) // _PERIOD_NS,
            "wall_seconds": time.perf_counter() - wall,
            "timed_out": not finished,
        }
        result |= await self._outcome(finished)
        await self._pulse(dut.dump)
        await self._settle(result)
        assert dut.violation.value == 0, f"job {index}: the machine breaks the rules of AXI4; see the simulation's log"
        assert dut.unknown.value == 0, f"job {index}: an output of the machine is unknown; see the simulation's log"
        self._emit({"job": index, "result": result})
        return finished

    async def _outcome(self, finished: bool) -> dict[str, Any]:
        csrs = self._csrs
        status = await csrs.bits("status")
        assert not finished or status["done"] != status["error"], "the machine must say either done or error"
        return {
            "done": finished and status["done"],
            **{name: await csrs.read(name) for name in ("error_code", "error_command", "error_address")},
            "cycles": await csrs.read("cycles_low") | await csrs.read("cycles_high") << 32,
        }

    async def _settle(self, result: dict[str, Any]) -> None:
        """Clear the interrupt; after an error or a timeout stop the machine."""
        csrs = self._csrs
        await csrs.set("interrupt", *spec.CSR["interrupt"].bits)
        if not result["done"]:
            await csrs.set("control", "reset")
        for _ in range(_POLLS):
            if not (await csrs.bits("status"))["busy"]:
                break
        else:
            assert result["timed_out"], "the machine stays busy after control.reset"
        assert self._dut.interrupt.value == 0, "the interrupt stays raised after it has been cleared"

    async def _interrupt(self, index: int, cycles: int) -> bool:
        """Wait for the interrupt; return whether it came within so many cycles."""
        dut, left = self._dut, cycles
        while dut.interrupt.value == 0 and left > 0:
            step = min(left, HEARTBEAT_CYCLES)
            await First(RisingEdge(dut.interrupt), Timer(step * _PERIOD_NS, unit="ns"))
            left -= step
            if dut.interrupt.value == 0:
                self._emit({"job": index, "cycles": cycles - left})
        await FallingEdge(dut.clk)
        return dut.interrupt.value == 1

    async def _pulse(self, signal: Any) -> None:
        signal.value = 1
        await FallingEdge(self._dut.clk)
        signal.value = 0


@cocotb.test()
async def run_jobs(dut: Any) -> None:
    """Run the jobs that the environment names."""
    path = Path(os.environ[JOBS_VARIABLE])
    jobs = json.loads(path.read_text())
    with (path.parent / EVENTS_FILE).open("w", buffering=1) as events:
        bench = Bench(dut, lambda event: events.write(json.dumps(event) + "\n"))
        ready = False
        for index, job in enumerate(jobs):
            if job["reset"] or not ready:
                await bench.reset()
            ready = await bench.run(index, job)
