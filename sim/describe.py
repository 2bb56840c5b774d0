"""One machine in numbers and a picture made of text."""

from __future__ import annotations

from hw.config import AcceleratorConfig


def describe(config: AcceleratorConfig) -> str:
    """Return a page about a machine: sizes, bandwidths and a drawing of its array and buffers."""
    spad_bytes = (
        2 * config.filter_spad_words * config.weight_bits
        + config.ifmap_spad_words * config.operand_bits
        + config.psum_spad_words * config.psum_bits
    ) / 8
    kib = 1024
    facts = {
        "PEs": f"{config.rows} x {config.cols} = {config.pes}",
        "operands": f"{config.activation_bits} x {config.weight_bits} bit, psums {config.psum_bits} bit",
        "scratchpads per PE": f"{spad_bytes:g} bytes (filter 2 x {config.filter_spad_words}, "
        f"ifmap {config.ifmap_spad_words}, psum {config.psum_spad_words} words)",
        "global buffer": f"{config.global_buffer_bytes / kib:g} KiB",
        "  ifmap": f"{config.ifmap_buffer_bytes / kib:g} KiB, {config.lanes} lanes of {config.ifmap_lane_words} words",
        "  filter": f"{config.filter_buffer_bytes / kib:g} KiB, "
        f"{config.rows} lanes of {config.filter_lane_words} words",
        "  psum": f"{config.psum_buffer_bytes / kib:g} KiB, {config.cols} banks of {config.psum_bank_words} psums",
        "parameter memory": f"{config.parameter_words} channels",
        "peak": f"{config.pes} MACs, {config.bus_bytes} DRAM bytes, {config.drain_width} drained psums a cycle",
    }
    width = max(map(len, facts))
    lines = [
        f"{config.name}",
        "",
        *(f"{name:{width}s}  {value}" for name, value in facts.items()),
        "",
        _drawing(config),
    ]
    return "\n".join(lines)


def _drawing(config: AcceleratorConfig) -> str:
    cell, most = "[]", 32
    shown = min(config.cols, most)
    row = " ".join([cell] * shown) + (" ..." if config.cols > most else "")
    filters = "filter lane -> "
    margin = " " * len(filters)
    lines = [f"{margin}{config.lanes} ifmap lanes, multicast down the diagonals", ""]
    lines += [f"{filters}{row}"] * config.rows
    lines += [f"{margin}{' '.join(['||'] * shown)}   psum chain", f"{margin}{' '.join(['##'] * shown)}   psum banks"]
    lines += ["", f"{margin}drain: {config.drain_width} psums a cycle -> DRAM"]
    return "\n".join(lines)
