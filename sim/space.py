"""The space of a sweep: machines, constraints, workloads and objectives, as a TOML file declares them."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import TypeVar

from compiler.graph import NetworkError
from compiler.networks import network
from hw.config import AcceleratorConfig, ConfigError, preset

FIELDS = tuple(field.name for field in dataclasses.fields(AcceleratorConfig) if field.name != "name")
#: What constraints may use beside fields: the derived values of a machine.
DERIVED = tuple(name for name, value in vars(AcceleratorConfig).items() if isinstance(value, property))
#: Objectives of a machine, and those of its workloads, which are added up or given as ``cycles.WORKLOAD``.
MACHINE_OBJECTIVES = ("pes", "global_buffer_bytes")
COST_OBJECTIVES = ("cycles", "dram_bytes", "energy")
_KEYS = ("base", "fields", "constraints", "objectives", "networks")
_NETWORK_KEYS = ("name", "batch", "layers", "label")
_NODES = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Add, ast.Sub),
    *(ast.Mult, ast.FloorDiv, ast.Mod, ast.Compare, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq),
    *(ast.Name, ast.Load, ast.Constant),
)


Value = TypeVar("Value")


class SweepError(ValueError):
    """A space that cannot be swept; the message names field, value and what is allowed."""


@dataclass(frozen=True)
class Constraint:
    """A condition on machines, such as ``rows * cols <= 256``."""

    text: str
    names: frozenset[str]
    code: CodeType

    @staticmethod
    def parse(text: object) -> Constraint:
        """Return the constraint that a text says.

        Raises
        ------
        SweepError
            If it is more than arithmetic and comparisons of fields and derived values.
        """
        allowed = "integer arithmetic and comparisons of fields, such as 'rows * cols <= 256'"
        try:
            tree = ast.parse(text if isinstance(text, str) else "", mode="eval")
        except (SyntaxError, ValueError):
            raise SweepError(f"constraints must be {allowed}, not {text!r}") from None
        nodes = list(ast.walk(tree))
        constants = (node.value for node in nodes if isinstance(node, ast.Constant))
        if not all(isinstance(node, _NODES) for node in nodes) or any(type(value) is not int for value in constants):
            raise SweepError(f"constraints must be {allowed}, not {text!r}")
        names = frozenset(node.id for node in nodes if isinstance(node, ast.Name))
        unknown = sorted(names - {*FIELDS, *DERIVED})
        if unknown:
            raise SweepError(f"constraint {text!r} must use {', '.join((*FIELDS, *DERIVED))}, not {unknown[0]!r}")
        return Constraint(str(text), names, compile(tree, "<constraint>", "eval"))

    def holds(self, values: Mapping[str, object]) -> bool:
        """Return whether values by name meet the constraint."""
        try:
            return bool(eval(self.code, {"__builtins__": {}}, dict(values)))  # the tree holds nothing but arithmetic
        except ZeroDivisionError:
            raise SweepError(f"constraint {self.text!r} must not divide by zero") from None


@dataclass(frozen=True)
class Workload:
    """A network, or some of its layers with inputs of their own, and the batch size."""

    name: str
    network: str
    batch: int = 1
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """One point of the grid: its swept fields, and the machine or the sentence why it cannot be built."""

    name: str
    values: Mapping[str, object]
    config: AcceleratorConfig | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Space:
    """What to sweep.

    Parameters
    ----------
    base : AcceleratorConfig
        Machine that gives the fields that are not swept.
    fields : mapping of str to tuple
        Values of each swept field; all combinations are tried, the last field fastest.
    workloads : tuple of Workload
        What every machine computes.
    constraints : tuple of Constraint
        Which combinations belong to the space.
    objectives : tuple of str
        What the front minimises.

    Raises
    ------
    SweepError
        If a field or an objective does not exist, or something is missing or there twice.
    """

    base: AcceleratorConfig
    fields: Mapping[str, tuple[object, ...]]
    workloads: tuple[Workload, ...]
    constraints: tuple[Constraint, ...] = ()
    objectives: tuple[str, ...] = ("cycles", "pes")

    def __post_init__(self) -> None:
        for field, values in self.fields.items():
            if field not in FIELDS:
                raise SweepError(f"fields must be some of {', '.join(FIELDS)}, not {field!r}")
            if not values or len(set(values)) < len(values):
                raise SweepError(f"fields.{field} must be a list of different values, not {list(values)}")
        names = [workload.name for workload in self.workloads]
        if not names or len(set(names)) < len(names):
            raise SweepError(f"networks must be at least one, with different labels, not {names}")
        known = (*MACHINE_OBJECTIVES, *COST_OBJECTIVES, *(f"{cost}.{n}" for cost in COST_OBJECTIVES for n in names))
        for objective in self.objectives:
            if objective not in known:
                raise SweepError(f"objectives must be some of {', '.join(known)}, not {objective!r}")
        if not self.objectives:
            raise SweepError(f"objectives must be some of {', '.join(known)}, not an empty list")

    def candidates(self) -> list[Candidate]:
        """Return the machines that meet the constraints, in the order of the fields' values.

        Raises
        ------
        SweepError
            If there are none.
        """
        found = []
        for combination in itertools.product(*self.fields.values()):
            values = dict(zip(self.fields, combination, strict=True))
            candidate = self._candidate(values)
            if candidate is not None:
                found.append(candidate)
        if not found:
            texts = " and ".join(constraint.text for constraint in self.constraints)
            raise SweepError(f"constraints must leave at least one machine, {texts} leaves none")
        return found

    def _candidate(self, values: Mapping[str, object]) -> Candidate | None:
        name = "_".join(f"{field}{value}" for field, value in values.items()) or self.base.name
        everything: dict[str, object] = {**dataclasses.asdict(self.base), **values}
        early = [constraint for constraint in self.constraints if constraint.names <= set(FIELDS)]
        if not all(constraint.holds(everything) for constraint in early):
            return None
        try:
            config = self.base.with_fields({"name": name, **values})
        except ConfigError as error:
            return Candidate(name, values, None, str(error))
        everything |= {derived: getattr(config, derived) for derived in DERIVED}
        if not all(constraint.holds(everything) for constraint in self.constraints):
            return None
        return Candidate(name, values, config)


def load_space(path: Path) -> Space:
    """Return the space that a TOML file declares.

    Raises
    ------
    SweepError
        If the file cannot be read or says something that is not allowed.
    """
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SweepError(f"the space must be a TOML file, {path} is not ({error})") from None
    for key in data:
        if key not in _KEYS:
            raise SweepError(f"keys of {path} must be some of {', '.join(_KEYS)}, not {key!r}")
    fields = _of_type(data, "fields", dict, {})
    try:
        base = preset(_of_type(data, "base", str, "eyeriss"))
    except ConfigError as error:
        raise SweepError(f"base: {error}") from None
    return Space(
        base=base,
        fields={field: tuple(_of_type(fields, field, list, None, "fields.")) for field in fields},
        workloads=tuple(_workload(entry) for entry in _of_type(data, "networks", list, [])),
        constraints=tuple(Constraint.parse(text) for text in _of_type(data, "constraints", list, [])),
        objectives=tuple(_of_type(data, "objectives", list, ["cycles", "pes"])),
    )


def _of_type(data: Mapping[str, object], key: str, kind: type[Value], default: Value | None, prefix: str = "") -> Value:
    value = data.get(key, default)
    names = {dict: "a table", list: "a list", str: "a text", int: "an integer"}
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SweepError(f"{prefix}{key} must be {names[kind]}, not {value!r}")
    return value


def _workload(entry: object) -> Workload:
    if not isinstance(entry, dict) or "name" not in entry or set(entry) - set(_NETWORK_KEYS):
        raise SweepError(f"networks must be tables of name and perhaps batch, layers and label, not {entry!r}")
    name = _of_type(entry, "name", str, None, "networks.")
    batch = _of_type(entry, "batch", int, 1, "networks.")
    layers = tuple(_of_type(entry, "layers", list, [], "networks."))
    if batch < 1:
        raise SweepError(f"networks.batch must be at least 1, not {batch}")
    try:
        net = network(name)
        for layer in layers:
            net.layer(layer)
    except NetworkError as error:
        raise SweepError(f"networks: {error}") from None
    return Workload(_of_type(entry, "label", str, name, "networks."), name, batch, layers)
