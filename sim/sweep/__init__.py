"""Sweeps of a space of machines: :func:`load_space`, :func:`sweep`."""

from sim.sweep.errors import SweepError, SweepInterrupted
from sim.sweep.run import SweepResult, sweep
from sim.sweep.space import load_space

__all__ = ["SweepError", "SweepInterrupted", "SweepResult", "load_space", "sweep"]
