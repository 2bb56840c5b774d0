"""RTLIL with one module per kind of component, although Amaranth makes one per instance.

Amaranth's own conversion cuts the flattened netlist into modules, so a module's ports depend on what surrounds it: two
equal processing elements differ as soon as one of them has a constant input or an unused output. Here every
component is converted by itself, with the members of its signature as ports. Equal components then have equal text,
and one of them stands for all.
"""

from __future__ import annotations

import gc
import io
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Fragment, Instance, MemoryInstance, Signal, Value
from amaranth.hdl._ast import SignalDict
from amaranth.hdl._ir import Design, PortDirection
from amaranth.lib import wiring

_SELF = "@module"
_NUMBER = re.compile(r"(?<=\\)@(\d+)\b")
_HEADER = re.compile(r"^attribute \\(top|generator) .*\n", re.MULTILINE)
_CONNECT = re.compile(r"^connect (\\\S+) (.*)\n", re.MULTILINE)
_SLICE = re.compile(r"\$\d+ \[\d+(?::\d+)?\]")
_WIRE = re.compile(r"^(?:  attribute .*\n)*  wire width \d+ (?:signed )?(\\\S+)\n\n", re.MULTILINE)


@dataclass(frozen=True)
class _Port:
    name: str
    signal: Signal
    direction: PortDirection


@dataclass
class _Body:
    """Text shared by all equal modules, with ``@number`` in place of every module's name."""

    text: str
    paths: list[tuple[str, ...]] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)


def convert(component: wiring.Component, *, name: str) -> str:
    """Return the RTLIL of a component and of everything inside it.

    Parameters
    ----------
    component : wiring.Component
        Component to elaborate.
    name : str
        Name of its module. The others are called after their instances, without a trailing number; where the
        instances of equal modules have different names, after the last words of those names or, if they share none,
        after their class.
    """
    ports = {port.name: (port.signal, port.direction) for port in _members((component,))}
    with _no_garbage_collection():
        design = Fragment.get(component, None).prepare(ports=ports, hierarchy=(name,))
        return _Converter(design).text()


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect no garbage in the meantime: looking for it among Amaranth's millions of tuples takes half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _members(origins: tuple[object, ...]) -> Iterator[_Port]:
    """Yield the signature's members as ports, if one of the objects that became a fragment has a signature."""
    for origin in origins:
        signature = getattr(origin, "signature", None)
        if isinstance(signature, wiring.Signature):
            for path, member, value in signature.flatten(origin):
                signal = Value.cast(value)
                if isinstance(signal, Signal):
                    direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
                    yield _Port("__".join(map(str, path)), signal, direction)
            return


def _is_driven(fragment: Fragment, signal: Signal) -> bool:
    """Whether a signal gets its value inside a fragment."""
    driven: list[Value] = []
    if isinstance(fragment, MemoryInstance):
        driven = [port._data for port in fragment._read_ports]
    elif isinstance(fragment, Instance):
        driven = [value for value, kind in fragment.ports.values() if kind == "o"]
    assigned = any(signal in statement._lhs_signals() for group in fragment.statements.values() for statement in group)
    return (
        assigned
        or any(signal in value._lhs_signals() for value in driven)
        or any(_is_driven(child, signal) for child, _, _ in fragment.subfragments)
    )


class _Converter:
    """Converts a design bottom up; equal texts get the same number."""

    def __init__(self, design: Design) -> None:
        self._design = design
        self._bodies: list[_Body] = []
        self._by_structure: dict[bytes, int] = {}
        self._by_text: dict[str, int] = {}
        domains = design.fragment.domains.values()
        self._clocks = SignalDict((s, None) for domain in domains for s in (domain.clk, domain.rst) if s is not None)
        self._convert(design.fragment, self._ports(design.fragment, self._clocks))

    def text(self) -> str:
        """Return all modules, their numbers replaced by names."""
        names = _names(self._bodies)
        return "".join(_NUMBER.sub(lambda match: names[int(match[1])], body.text) for body in self._bodies)

    def _ports(self, fragment: Fragment, outside: SignalDict) -> list[_Port]:
        """List a fragment's ports: clock and reset, signature, then what else its surroundings share with it."""
        shared = [signal for signal in self._design.fragments[fragment].used_signals if signal in outside]
        ports = [_Port(s.name, s, PortDirection.Input) for s in self._clocks if any(s is other for other in shared)]
        ports += _members(fragment.origins or ())
        known = SignalDict((port.signal, None) for port in ports)
        names = {port.name for port in ports}
        for signal in shared:
            if signal not in known:
                direction = PortDirection.Output if _is_driven(fragment, signal) else PortDirection.Input
                name = _unused(signal.name, names)
                names.add(name)
                ports.append(_Port(name, signal, direction))
        return ports

    def _convert(self, fragment: Fragment, ports: list[_Port]) -> int:
        """Convert a fragment and what is inside it; return its body's number."""
        info = self._design.fragments[fragment]
        wires = SignalDict()
        children = []
        for child, name, location in fragment.subfragments:
            if type(child) is Fragment:
                name = self._design.fragments[child].name[-1]
                child_ports = self._ports(child, info.used_signals)
                number = self._convert(child, child_ports)
                child = _instance(f"@{number}", child_ports)
                wires.update((port.signal, f"{name}__{port.name}") for port in child_ports)
            children.append((child, name, location))
        fragment.subfragments = children
        wires.update((port.signal, port.name) for port in ports)
        number = self._number(fragment, ports, wires)
        self._bodies[number].paths.append(info.name)
        self._bodies[number].classes.append(_class_name(fragment.origins or (fragment,)))
        return number

    def _number(self, fragment: Fragment, ports: list[_Port], wires: SignalDict) -> int:
        """Return the number of a body, which is converted only if none of equal structure was before."""
        structure = _structure(fragment, ports, wires)
        if structure not in self._by_structure:
            text = _module_text(fragment, ports, wires)
            if text not in self._by_text:
                self._by_text[text] = len(self._bodies)
                self._bodies.append(_Body(text.replace(f"\\{_SELF}\n", f"\\@{len(self._bodies)}\n", 1)))
            self._by_structure[structure] = self._by_text[text]
        return self._by_structure[structure]


class _Structure(pickle.Pickler):
    """Serialises a fragment with its signals numbered in order of appearance, so that equal ones give equal bytes.

    Amaranth takes 50 ms to convert a processing element; to find that it is like the one before takes 1 ms.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self._signals = SignalDict()

    def persistent_id(self, obj: object) -> object:
        """Stand in for signals."""
        if not isinstance(obj, Signal):
            return None
        if obj in self._signals:
            return self._signals[obj]
        number = self._signals[obj] = len(self._signals)
        return number, obj.name, obj.shape(), obj.init, obj.reset_less, obj.attrs

    def reducer_override(self, obj: object) -> Any:
        """Leave out the objects that a fragment came from."""
        if isinstance(obj, Fragment):
            return type(obj), (), {name: value for name, value in vars(obj).items() if name != "origins"}
        return NotImplemented


def _structure(fragment: Fragment, ports: list[_Port], wires: SignalDict) -> bytes:
    """Return the bytes of everything that a fragment's text depends on."""
    file = io.BytesIO()
    children = [(child, name) for child, name, _ in fragment.subfragments]
    _Structure(file).dump((ports, list(wires.items()), fragment.domains, fragment.statements, children))
    return file.getvalue()


def _instance(kind: str, ports: list[_Port]) -> Instance:
    return Instance(kind, *(("i" if p.direction is PortDirection.Input else "o", p.name, p.signal) for p in ports))


def _module_text(fragment: Fragment, ports: list[_Port], wires: SignalDict) -> str:
    """Convert a fragment without fragments inside; ``wires`` holds the names of its and its instances' ports."""
    design = Design(fragment, [(port.name, port.signal, port.direction) for port in ports], hierarchy=(_SELF,))
    signal_names = design.fragments[fragment].signal_names
    own = {port.name for port in ports}
    used = own | {design.fragments[child].name[-1] for child, _, _ in fragment.subfragments}
    for signal in list(signal_names):
        name = wires[signal] if signal in wires else re.sub(r"\W+", "_", signal.name).strip("_")
        signal_names[signal] = name if name in own and signal in wires else _unused(name, used)
        used.add(signal_names[signal])
    text, _ = rtlil.convert_fragment(design, emit_src=False)
    return _without_aliases(_HEADER.sub("", text))


def _without_aliases(text: str) -> str:
    """Drop wires that nothing reads because they only repeat others, and read slices of nameless wires by their name.

    Amaranth reads every net under the name of what drives it; its other names are wires with a ``connect`` each.
    """
    wires = set(_WIRE.findall(text))
    slices: dict[str, str] = {}
    for name, value in _CONNECT.findall(text):
        if name in wires and "." not in name and _SLICE.fullmatch(value):
            slices.setdefault(value, name)
    kept = set(slices.values())
    dropped = {name for name, _ in _CONNECT.findall(text) if name in wires} - kept
    text = _CONNECT.sub(lambda match: "" if match[1] in wires else match[0], text)
    text = _WIRE.sub(lambda match: "" if match[1] in dropped else match[0], text)
    text = _SLICE.sub(lambda match: slices.get(match[0], match[0]), text)
    connects = "".join(f"connect {name} {value}\n" for value, name in slices.items())
    return text.replace("\nend\n", f"\n{connects}\nend\n", 1)


def _unused(name: str, used: set[str]) -> str:
    """Return the name or, if it is used, the name with the least number that makes it unused."""
    candidates = (name if index == 0 else f"{name}_{index}" for index in range(len(used) + 1))
    return next(candidate for candidate in candidates if candidate not in used)


def _class_name(origins: tuple[object, ...]) -> str:
    """Name of the class that a fragment comes from; the last origin is a module."""
    components = [origin for origin in origins if isinstance(origin, wiring.Component)]
    return type((components or origins[:-1] or origins)[-1]).__name__


def _names(bodies: list[_Body]) -> list[str]:
    """Name every body; where several would have the same name, those deeper than the top also after their parent."""
    kinds = [_common_kind(body) for body in bodies]
    names: dict[int, str] = {}
    for number in (len(bodies) - 1, *range(len(bodies) - 1)):  # the last one is the top and keeps its name
        name, path = kinds[number], bodies[number].paths[0]
        if kinds.count(name) > 1 and len(path) > 2:
            name = f"{_kind(path[-2])}_{name}"
        names[number] = _unused(name, set(names.values()))
    return [names[number] for number in range(len(bodies))]


def _common_kind(body: _Body) -> str:
    """Return the last words that the names of all instances share or, if there are none, the name of the class."""
    if not all(path[-1].isidentifier() for path in body.paths):
        return _snake(body.classes[0])
    words = [_kind(path[-1]).split("_")[::-1] for path in body.paths]
    common = [at_place[0] for at_place in takewhile(lambda it: len(set(it)) == 1, zip(*words, strict=False))]
    return "_".join(reversed(common)) or _snake(body.classes[0])


def _kind(name: str) -> str:
    return re.sub(r"(_\d+)+$", "", name)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
