"""Amaranth layouts derived from the contract in :mod:`hw.spec`."""

from __future__ import annotations

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data
from amaranth.utils import bits_for

from hw import spec
from hw.config import AcceleratorConfig


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
QUEUED_COMMAND = data.StructLayout({"word": unsigned(spec.COMMAND_BITS), "index": unsigned(spec.COMMAND_INDEX_BITS)})


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


def operation_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Micro-operation that mac broadcasts; ``valid`` multiplies, ``emit`` lets a psum leave into the chain.

    ``active`` holds one bit per PE row, bit 0 for the row that looks at it; each row passes it on shifted by one.
    """
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "first": unsigned(1),
            "emit": unsigned(1),
            "maximum": unsigned(1),
            "filter_address": unsigned(bits_for(2 * config.filter_spad_words - 1)),
            "ifmap_address": unsigned(bits_for(config.ifmap_spad_words - 1)),
            "psum_address": unsigned(bits_for(config.psum_spad_words - 1)),
            "active": unsigned(config.rows),
        }
    )


def delivery_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One cycle's delivery of lane words to the array, presented together with the lanes' outputs.

    ``restart``: PE rows go back to their first (channel, filter row) pair. ``first_window``: PEs whose row is padding
    take the pad value now. ``position``: ring column written, for slot 0. ``window_row``: tile row of the window's
    first lane row.
    """
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "restart": unsigned(1),
            "first_window": unsigned(1),
            "pad_column": unsigned(1),
            "run": unsigned(1),
            "block": unsigned(6),
            "position": unsigned(bits_for(config.ifmap_spad_words - 1)),
            "window_row": signed(14),
        }
    )


#: Row table entry: the PE row's (filter row, channel) pair of slot 0 and how many slots it has work in.
#: ``channel`` counts from channel 0 of the first delivered block.
ROW_ENTRY = data.StructLayout({"filter_row": unsigned(8), "channel": unsigned(10), "slots": unsigned(6)})

#: Column table entry: tile row under filter row 0; filter rows below ``top`` or from ``bottom`` on are padding.
COLUMN_ENTRY = data.StructLayout(
    {"first_row": signed(14), "top": unsigned(8), "bottom": unsigned(9), "run": unsigned(1), "valid": unsigned(1)}
)

#: What the array needs to know of a layer for delivery.
DELIVERY_LAYER = data.StructLayout(
    {
        "zero_point": signed(16),
        "pad_value": signed(17),
        "filter_rows": unsigned(8),
        "ring_columns": unsigned(7),
        "step_row": unsigned(8),
        "step_channel": unsigned(7),
    }
)

#: One AXI read burst to issue; ``index`` is the command that wants it.
READ_REQUEST = data.StructLayout(
    {"address": unsigned(32), "beats": unsigned(9), "index": unsigned(spec.COMMAND_INDEX_BITS)}
)

#: Bias, multiplier and shift (positive = left) of one channel.
PARAMETER = data.StructLayout({"bias": signed(32), "multiplier": signed(32), "shift": signed(8)})

#: Why and where an engine stopped the machine; ``valid`` is a pulse.
ERROR_REPORT = data.StructLayout(
    {"valid": unsigned(1), "code": unsigned(3), "index": unsigned(spec.COMMAND_INDEX_BITS), "address": unsigned(32)}
)
