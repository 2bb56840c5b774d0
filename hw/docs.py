"""What is written from the declarations: reference pages and the description beside the Verilog."""

import argparse
import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib.wiring import Member, Out

from hw import spec
from hw.config import CHOICES, POWERS_OF_TWO, PRESETS, RANGES, AcceleratorConfig
from hw.eyas import top_signature
from hw.header import field_offsets


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _bits(offset: int, width: int) -> str:
    return str(offset) if width == 1 else f"{offset + width - 1}:{offset}"


def commands_page() -> str:
    """Return the reference of the commands with the bits of every field."""
    parts = [
        "# Commands\n\n"
        f"A command has {spec.COMMAND_BITS} bits ({spec.COMMAND_BYTES} bytes, least significant byte first in DRAM). "
        "Bits that no field owns are zero. A program is an array of commands at an address that is a multiple of 512; "
        "it ends with a `mark` whose `last` is set.\n"
    ]
    for command in spec.COMMANDS:
        rows = [
            (_bits(offset, field.width), f"`{field.name}`", "signed" if field.signed else "unsigned", field.doc)
            for field, offset in field_offsets(command)
        ]
        parts.append(
            f"## {command.name}\n\n{command.doc}\n\nOpcode {command.opcode:#04x}; "
            f"queue{'s' if len(command.engines) > 1 else ''}: {', '.join(command.engines)}.\n\n"
            + _table(("bits", "field", "type", "meaning"), rows)
        )
    return "\n".join(parts)


_CSR_TEXT = f"""# Control and status registers

AXI4-Lite, 32 data bits, 12 address bits. Access R: writes do nothing. W: reads as zero. RW1C: write one to clear.
Byte strobes count everywhere. An address without a register answers SLVERR. RW registers reset to zero, so the
machine may access no DRAM until `window_limit` has been written.

To run a program: write `window_base`, `window_limit`, `program_address`, `program_commands`, then `control.start`;
wait for the interrupt output (high while any bit of `interrupt` is set); read `status` and write the bits of
`interrupt` back.

- `control.start` does nothing while `status.busy`. Otherwise it waits until no AXI burst is in flight, resets all
  engines, queues and tokens, clears all counters and starts the program, so every run begins in the same state.
- `control.reset` works at any time and wins over start: the machine issues no more bursts, waits until those in flight
  have ended (`status.busy` stays set) and resets the same things. Counters keep their values.
- `status.done` or `status.error` is set when `status.busy` falls at the program's end, and cleared by start and reset.
  The first error stops the machine and is described by the `error_*` registers until then. Neither start nor reset
  touches `interrupt`.
- `cycles_low` and `cycles_high` are the live `cycle.total`, final when `status.busy` has fallen.
- Counter i of [counters](counters.md) is read live at {spec.COUNTER_OFFSET:#x} + 8 * i (low word) and the high word 4
  bytes further. Words read one after the other while the machine runs need not belong together.

"""


def csr_page() -> str:
    """Return the reference of the control and status registers."""
    rows = []
    for csr in spec.CSRS:
        bits = "; ".join(f"{bit}: `{name}`" for bit, name in enumerate(csr.bits)) or "31:0"
        rows.append((f"{csr.offset:#05x}", f"`{csr.name}`", csr.access, bits, csr.doc))
    rows += [
        (f"{spec.COUNTER_OFFSET + 8 * i:#05x}", f"`{name}`", "R", "63:0", "performance counter, two words")
        for i, name in enumerate(spec.COUNTER_NAMES)
    ]
    return _CSR_TEXT + _table(("offset", "register", "access", "bits", "meaning"), rows)


def counters_page() -> str:
    """Return the reference of the performance counters."""
    rows = [
        (i, f"`{counter.name}`", counter.engine, counter.unit, counter.doc) for i, counter in enumerate(spec.COUNTERS)
    ]
    return (
        f"# Performance counters\n\nEach has {spec.COUNTER_BITS} bits and belongs to one engine. Start clears them; a "
        f"`mark` writes a snapshot of all {spec.SNAPSHOT_BEATS} to DRAM in this order, 8 bytes each, least significant "
        "byte first. A machine built with `counters=false` has only `cycle.total`; the others read as zero.\n\n"
        + _table(("index", "counter", "engine", "unit", "counts"), rows)
    )


def errors_page() -> str:
    """Return the reference of the error codes."""
    rows = [(error.code, f"`{error.name}`", error.doc) for error in spec.ERRORS]
    return "# Errors\n\nThe value of `error_code` when `status.error` is set.\n\n" + _table(
        ("code", "error", "meaning"), rows
    )


def semaphores_page() -> str:
    """Return the reference of the token counters."""
    rows = [(f"`{name}`", giver, taker) for name, (giver, taker) in spec.SEMAPHORES.items()]
    return (
        "# Semaphores\n\nThe engines synchronise through these token counters only. `wait_*` fields of commands take "
        "tokens, `signal_*` fields give them. All are zero after start; initial free space is what the program knows "
        f"to be free. A level has {spec.SEMAPHORE_BITS} bits and must not overflow.\n\n"
        + _table(("semaphore", "given by", "taken by"), rows)
    )


def _config_docs() -> dict[str, str]:
    """Return the documentation of each configuration field, read from the class's docstring."""
    section = inspect.getdoc(AcceleratorConfig).split("Parameters\n----------\n")[1].split("\n\n")[0]
    docs: dict[str, str] = {}
    for names, text in re.findall(r"^(\w[\w, ]*) : [^\n]*\n((?:    .*\n?)+)", section, re.MULTILINE):
        docs |= {name: " ".join(text.split()) for name in names.split(", ")}
    return docs


def _allowed(name: str) -> str:
    if name in CHOICES:
        return ", ".join(map(str, CHOICES[name]))
    if name in RANGES:
        low, high = RANGES[name]
        return f"{low} to {high}" + (", a power of two" if name in POWERS_OF_TWO else "")
    return "True, False" if name == "counters" else "letters, digits, `-`, `_`"


def config_page() -> str:
    """Return the reference of the configuration fields with the values of all presets."""
    docs = _config_docs()
    rows = [
        (f"`{name}`", docs[name], _allowed(name), *(getattr(config, name) for config in PRESETS.values()))
        for name in (field.name for field in dataclasses.fields(AcceleratorConfig))
    ]
    derived = [(f"`{name}`", doc, *values) for name, doc, *values in _derived_rows()]
    return (
        "# Configuration\n\n"
        + _table(("field", "meaning", "allowed", *(f"`{name}`" for name in PRESETS)), rows)
        + "\n## Derived sizes\n\n"
        + _table(("size", "meaning", *(f"`{name}`" for name in PRESETS)), derived)
    )


def _derived(config: AcceleratorConfig) -> dict[str, int]:
    names = (name for name, value in vars(AcceleratorConfig).items() if isinstance(value, property))
    return {name: getattr(config, name) for name in names}


def _derived_rows() -> Iterator[tuple[object, ...]]:
    for name in _derived(next(iter(PRESETS.values()))):
        doc = inspect.getdoc(getattr(AcceleratorConfig, name))
        yield name, doc, *(getattr(config, name) for config in PRESETS.values())


def reference_pages() -> dict[str, str]:
    """Return all reference pages, Markdown by file name."""
    return {
        "commands.md": commands_page(),
        "csr.md": csr_page(),
        "counters.md": counters_page(),
        "errors.md": errors_page(),
        "semaphores.md": semaphores_page(),
        "config.md": config_page(),
    }


def description(config: AcceleratorConfig) -> dict[str, Any]:
    """Return what ``eyas.json`` says beside the Verilog of one machine; every value is plain JSON.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    """
    return {
        "name": config.name,
        "identifier": spec.IDENTIFIER,
        "version": spec.VERSION,
        "config": dataclasses.asdict(config),
        "derived": _derived(config),
        "ports": [{"name": "clk", "direction": "in", "width": 1}, {"name": "rst", "direction": "in", "width": 1}]
        + [_port(path, member) for path, member in top_signature(config).members.flatten() if member.is_port],
        "csrs": [dataclasses.asdict(csr) for csr in spec.CSRS],
        "counters": [
            dataclasses.asdict(counter) | {"index": i, "csr_offset": spec.COUNTER_OFFSET + 8 * i}
            for i, counter in enumerate(spec.COUNTERS)
        ],
        "commands": [
            dataclasses.asdict(command)
            | {"fields": [dataclasses.asdict(field) | {"offset": bit} for field, bit in field_offsets(command)]}
            for command in spec.COMMANDS
        ],
        "errors": [dataclasses.asdict(error) for error in spec.ERRORS],
        "semaphores": [
            {"name": name, "giver": giver, "taker": taker} for name, (giver, taker) in spec.SEMAPHORES.items()
        ],
    }


def _port(path: tuple[str | int, ...], member: Member) -> dict[str, Any]:
    direction = "out" if member.flow is Out else "in"
    return {"name": "__".join(map(str, path)), "direction": direction, "width": Shape.cast(member.shape).width}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the reference pages into a folder: ``python -m hw.docs docs/reference``."""
    parser = argparse.ArgumentParser(prog="python -m hw.docs", description="Write the reference pages.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in reference_pages().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
