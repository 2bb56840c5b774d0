"""How far a sweep is, on standard error."""

from __future__ import annotations

import sys
import time

#: Between two lines where standard error is no terminal.
LINE_SECONDS = 10.0


class Progress:
    """Counts machines and tells how many are left, how fast it goes and when it ends.

    Parameters
    ----------
    shown : bool
        Whether to say anything.
    total : int
        Machines of the sweep.
    done : int
        Those that were stored before.
    """

    def __init__(self, shown: bool, total: int, done: int = 0) -> None:
        self._shown = shown
        self._total = total
        self._before = self._done = done
        self._started = self._told = time.monotonic()
        if done:
            self.say(f"{done} of {total} machines are stored, going on")

    def step(self) -> None:
        """Count one machine."""
        self._done += 1
        now = time.monotonic()
        last = self._done >= self._total
        if not last and not sys.stderr.isatty() and now - self._told < LINE_SECONDS:
            return
        self._told = now
        speed = (self._done - self._before) / max(now - self._started, 1e-9)
        left = _duration(max(0, self._total - self._done) / speed)
        self._tell(f"costed {self._done} of {self._total} machines, {speed:.3g} machines/s, about {left} left")
        if last:
            self.end()

    def say(self, text: str) -> None:
        """Say a line that stays."""
        self._tell(text)
        self.end()

    def end(self) -> None:
        """End the line, where lines overwrite each other."""
        if self._shown and sys.stderr.isatty():
            print(file=sys.stderr, flush=True)

    def _tell(self, text: str) -> None:
        if self._shown:
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{text:<78}".rstrip() if end == "\n" else f"{text:<78}", end=end, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
