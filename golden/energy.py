"""Energy of a run: counts times a cost table.

A table is a TOML file: ``unit``, ``source``, perhaps ``word_bits``, and ``[costs]`` of one operand at each of
:data:`LEVELS`. Those in ``golden/tables`` have names: ``eyeriss``, relative to a multiply-accumulate, and ``pj45``, in
picojoules; each says where its figures are from.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hw.config import AcceleratorConfig

TABLES = Path(__file__).parent / "tables"

#: From the arithmetic to DRAM: multiply-accumulate, scratchpads, between PEs, global buffer, DRAM.
LEVELS = ("mac", "rf", "array", "glb", "dram")

_KEYS = {"unit": str, "source": str, "word_bits": int, "costs": dict}
_ACTIVATION_BYTES = (
    *("dram.ifmap.read_bytes", "dram.residual.read_bytes", "dram.ofmap.write_bytes"),
    *("dram.parameter.read_bytes", "dram.command.read_bytes", "dram.mark.write_bytes"),
)


class EnergyError(ValueError):
    """An energy table that cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class EnergyTable:
    """What an operand costs at each level.

    Parameters
    ----------
    name, unit, source : str
        What it is called, what its costs are in, where they are from.
    costs : mapping of str to float
        By level of :data:`LEVELS`.
    word_bits : int, optional
        Width of the operands that ``costs`` are for; others cost in proportion, a multiply-accumulate excepted.
        Without it, an operand of any width costs the same.
    """

    name: str
    unit: str
    source: str
    costs: Mapping[str, float]
    word_bits: int | None = None


def load_table(name_or_path: str | Path) -> EnergyTable:
    """Return the energy table with this name, or in this file.

    Raises
    ------
    EnergyError
        If there is no such table or the file is not one.
    """
    names = sorted(path.stem for path in TABLES.glob("*.toml"))
    path = TABLES / f"{name_or_path}.toml" if name_or_path in names else Path(name_or_path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise EnergyError(
            f"energy table must be {', '.join(names)} or a TOML file, not {str(name_or_path)!r}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EnergyError(f"{path} is not TOML: {error}") from None
    return _parse(data, path)


def _parse(data: Mapping[str, Any], path: Path) -> EnergyTable:
    for key, value in data.items():
        if key not in _KEYS:
            raise EnergyError(f"{path}: {key} is unknown; keys are {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            kind = {str: "a text", int: "an integer", dict: "a table"}[_KEYS[key]]
            raise EnergyError(f"{path}: {key} must be {kind}, not {value!r}")
    if missing := [key for key in _KEYS if key not in data and key != "word_bits"]:
        raise EnergyError(f"{path}: {missing[0]} is missing")
    if data.get("word_bits", 1) < 1:
        raise EnergyError(f"{path}: word_bits must be at least 1, not {data['word_bits']}")
    costs = MappingProxyType(_costs(data["costs"], path))
    return EnergyTable(path.stem, data["unit"], data["source"], costs, data.get("word_bits"))


def _costs(costs: Mapping[str, Any], path: Path) -> dict[str, float]:
    for level, cost in costs.items():
        if level not in LEVELS:
            raise EnergyError(f"{path}: costs.{level} is unknown; levels are {', '.join(LEVELS)}")
        if not isinstance(cost, int | float) or isinstance(cost, bool) or not math.isfinite(cost) or cost < 0:
            raise EnergyError(f"{path}: costs.{level} must be a number that is not negative, not {cost!r}")
    if missing := [level for level in LEVELS if level not in costs]:
        raise EnergyError(f"{path}: costs.{missing[0]} is missing")
    return {level: costs[level] for level in LEVELS}


#: Relative to a multiply-accumulate; the default.
EYERISS = load_table("eyeriss")


def _moves(counters: Mapping[str, int], config: AcceleratorConfig) -> Iterator[tuple[str, str, int]]:
    """Yield (level, kind of operand, how many move there)."""

    def total(*names: str) -> int:
        return sum(counters[name] for name in names)

    weights, activations = config.weights_per_word, config.channel_block
    filters = weights * counters["pe.filter.write"]
    yield "mac", "mac", total("mac.done", "pool.done")
    yield "rf", "activation", total("pe.ifmap.write", "pe.ifmap.read")
    yield "rf", "weight", filters + counters["pe.filter.read"]
    yield "rf", "psum", total("pe.psum.read", "pe.psum.write")
    yield "array", "activation", counters["pe.ifmap.write"]
    yield "array", "weight", filters
    yield "array", "psum", counters["array.psum.hop"]
    yield "glb", "activation", activations * total("glb.ifmap.read", "glb.ifmap.write")
    yield "glb", "weight", weights * total("glb.filter.read", "glb.filter.write")
    yield "glb", "psum", total("glb.psum.read", "glb.psum.write", "glb.psum.drain")
    yield "dram", "activation", total(*_ACTIVATION_BYTES) // config.activation_bytes
    yield "dram", "weight", counters["dram.filter.read_bytes"] * 8 // config.weight_bits


def words(counters: Mapping[str, int], config: AcceleratorConfig) -> dict[str, int]:
    """Return how many operands move, or are computed, at each of :data:`LEVELS`.

    The array moves what PEs receive: ifmap and filter words on the buses, psums from row to row. What is no operand
    in DRAM (parameters, commands, marks) counts in words of an activation. The parameter memory and the
    requantisation have no place in a table and are left out.

    Parameters
    ----------
    counters : mapping of str to int
        Counts by the names of :data:`hw.spec.COUNTERS`.
    config : AcceleratorConfig
        The machine.
    """
    totals = dict.fromkeys(LEVELS, 0)
    for level, _, count in _moves(counters, config):
        totals[level] += count
    return totals


def energy(counters: Mapping[str, int], config: AcceleratorConfig, table: EnergyTable = EYERISS) -> dict[str, float]:
    """Return the energy spent at each level, in the unit of the table; whole numbers if its costs are and any width is
    one operand.

    Parameters
    ----------
    counters, config
        As for :func:`words`.
    table : EnergyTable
        The costs.
    """
    if table.word_bits is None:
        return {level: table.costs[level] * count for level, count in words(counters, config).items()}
    bits = {"activation": config.activation_bits, "weight": config.weight_bits, "psum": config.psum_bits}
    spent = dict.fromkeys(LEVELS, 0.0)
    for level, operand, count in _moves(counters, config):
        spent[level] += table.costs[level] * count * bits.get(operand, table.word_bits) / table.word_bits
    return spent
