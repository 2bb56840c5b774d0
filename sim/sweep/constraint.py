"""Constraints on machines: arithmetic and comparisons over fields and derived values."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType

from hw.config import AcceleratorConfig
from sim.sweep.errors import SweepError

#: What can be swept.
FIELDS = tuple(field.name for field in dataclasses.fields(AcceleratorConfig) if field.name != "name")
#: What constraints may use beside fields: the derived values of a machine.
DERIVED = tuple(name for name, value in vars(AcceleratorConfig).items() if isinstance(value, property))
_NODES = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Add, ast.Sub),
    *(ast.Mult, ast.FloorDiv, ast.Mod, ast.Compare, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq),
    *(ast.Name, ast.Load, ast.Constant),
)
_ALLOWED = "integer arithmetic and comparisons of fields, such as 'rows * cols <= 256'"


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
        try:
            tree = ast.parse(text.strip() if isinstance(text, str) else "", mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise SweepError(f"constraints must be {_ALLOWED}, not {text!r}") from None
        nodes = list(ast.walk(tree))
        constants = (node.value for node in nodes if isinstance(node, ast.Constant))
        if not all(isinstance(node, _NODES) for node in nodes) or any(type(value) is not int for value in constants):
            raise SweepError(f"constraints must be {_ALLOWED}, not {text!r}")
        names = frozenset(node.id for node in nodes if isinstance(node, ast.Name))
        unknown = sorted(names - {*FIELDS, *DERIVED})
        if unknown:
            raise SweepError(f"constraint {text!r} must use {', '.join((*FIELDS, *DERIVED))}, not {unknown[0]!r}")
        return Constraint(str(text), names, compile(tree, "<constraint>", "eval"))

    def holds(self, values: Mapping[str, object]) -> bool:
        """Return whether values by name meet the constraint.

        Raises
        ------
        SweepError
            If it divides by zero.
        """
        try:
            return bool(eval(self.code, {"__builtins__": {}}, dict(values)))  # the tree holds nothing but arithmetic
        except ZeroDivisionError:
            raise SweepError(f"constraint {self.text!r} must not divide by zero") from None
