"""How far the benchmark is, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from sim.benchmark.items import Step


class Progress:
    """Lines on standard error that say how far the benchmark is; what need not run again tells nothing about time."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._index = -1
        self._began = 0.0
        self._share = 0.0
        self._seconds = 0.0
        self._cycles = 0.0

    def begin(self) -> None:
        """Begin the next step."""
        self._index, self._began, self._share = self._index + 1, time.monotonic(), 0.0
        self._print("compiling")

    def simulating(self, now: int, total: int) -> None:
        """Say how many of how many cycles the step has simulated."""
        self._share = min(1.0, now / total)
        self._print(f"{now:,} of {total:,} cycles")

    def end(self) -> None:
        """End the step."""
        if self._share:
            self._seconds += time.monotonic() - self._began
            self._cycles += self._steps[self._index].least_cycles

    def _print(self, text: str) -> None:
        step = self._steps[self._index]
        done = self._cycles + self._share * step.least_cycles
        seconds = self._seconds + (time.monotonic() - self._began if self._share else 0.0)
        ahead = self._steps[self._index :]
        left = sum(other.least_cycles for other in ahead if other.item.rtl) - self._share * step.least_cycles
        guess = f", about {left * seconds / done / 60:.0f} min left" if done else ""
        line = f"step {self._index + 1} of {len(self._steps)}, {step.item.name}/{step.name}: {text}{guess}"
        tty = sys.stderr.isatty()
        print(f"\r{line}\033[K" if tty else line, end="" if tty else "\n", file=sys.stderr, flush=True)

    @staticmethod
    def close() -> None:
        """End the line."""
        if sys.stderr.isatty():
            print(file=sys.stderr)
