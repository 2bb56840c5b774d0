"""The error of a sweep that cannot be run."""

from __future__ import annotations


class SweepError(ValueError):
    """A sweep that cannot be run; the message is one sentence that says what is wrong and what is allowed."""


class SweepInterrupted(SweepError):
    """A sweep that the user stopped; the message says how many machines are stored and how to go on."""
