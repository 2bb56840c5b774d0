"""Amaranth layouts derived from the contract in :mod:`hw.spec`."""

from __future__ import annotations

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data

from hw import spec


def _shape(field: spec.Field) -> Shape:
    return signed(field.width) if field.signed else unsigned(field.width)


def command_layout(name: str) -> data.StructLayout:
    """Layout of a command word, opcode first; field names are the spec's.

    Parameters
    ----------
    name : str
        Command name, such as ``"load.ifmap"``.
    """
    members = {field.name: _shape(field) for field in spec.COMMAND[name].all_fields}
    members["reserved"] = unsigned(spec.COMMAND_BITS - sum(field.width for field in spec.COMMAND[name].all_fields))
    return data.StructLayout(members)


#: What travels through a command queue: the 256-bit word and its index in the program, for error reports.
QUEUED_COMMAND = data.StructLayout(
    {"word": unsigned(spec.COMMAND_BITS), "index": unsigned(spec.COMMAND_INDEX_BITS)}
)


def counts_layout(engine: str, *, width: int = 24) -> data.StructLayout:
    """Layout of one cycle's increments of an engine's counters; dots in names become underscores.

    Parameters
    ----------
    engine : str
        Engine, or ``"fetch"``.
    width : int
        Bits of one increment.
    """
    return data.StructLayout({name.replace(".", "_"): unsigned(width) for name in spec.engine_counters(engine)})
