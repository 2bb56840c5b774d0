"""Spaces as text: the TOML that users write, and the JSON that a store keeps."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compiler.graph import NetworkError
from compiler.networks import network
from hw.config import AcceleratorConfig, ConfigError, preset
from sim.sweep.constraint import Constraint
from sim.sweep.energy import check_table, table_identity
from sim.sweep.errors import SweepError
from sim.sweep.space import Search, Space, Workload
from sim.sweep.toml_values import check_keys, field_values, texts, typed

_KEYS = ("base", "fields", "constraints", "objectives", "networks", "energy_table", "search")
_NETWORK_KEYS = ("name", "batch", "layers", "label")
_SEARCH_KEYS = ("method", "points", "seed", "sampler")


def read_space(path: Path) -> Space:
    """Return the space that a TOML file declares; see :func:`sim.sweep.space.load_space`."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SweepError(f"the space must be a TOML file, {path} is not ({error})") from None
    check_keys(data, _KEYS, f"keys of {path}")
    fields = typed(data, "fields", dict, {})
    try:
        base = preset(typed(data, "base", str, "eyeriss"))
    except ConfigError as error:
        raise SweepError(f"base: {error}") from None
    search = typed(data, "search", dict, {})
    check_keys(search, _SEARCH_KEYS, "keys of search")
    return Space(
        base=base,
        fields={field: field_values(field, value) for field, value in fields.items()},
        workloads=tuple(_workload(entry) for entry in typed(data, "networks", list, [])),
        constraints=tuple(Constraint.parse(text) for text in typed(data, "constraints", list, [])),
        objectives=tuple(texts(data, "objectives", ["cycles", "pes"])),
        energy_table=check_table(typed(data, "energy_table", str, "eyeriss"), path.parent),
        search=Search(
            typed(search, "method", str, "grid", "search."),
            typed(search, "points", int, 0, "search."),
            typed(search, "seed", int, 0, "search."),
            typed(search, "sampler", str, "tpe", "search."),
        ),
    )


def _workload(entry: object) -> Workload:
    if not isinstance(entry, dict) or "name" not in entry or set(entry) - set(_NETWORK_KEYS):
        raise SweepError(f"networks must be tables of name and perhaps batch, layers and label, not {entry!r}")
    name = typed(entry, "name", str, None, "networks.")
    batch = typed(entry, "batch", int, 1, "networks.")
    layers = tuple(texts(entry, "layers", [], "networks."))
    if batch < 1:
        raise SweepError(f"networks.batch must be at least 1, not {batch}")
    try:
        net = network(name)
        for layer in layers:
            net.layer(layer)
    except NetworkError as error:
        raise SweepError(f"networks: {error}") from None
    return Workload(typed(entry, "label", str, name, "networks."), name, batch, layers)


def to_json(space: Space) -> str:
    """Return a space as JSON, the same text for the same space."""
    return json.dumps(_plain(space), sort_keys=False)


def from_json(text: str) -> Space:
    """Return the space that :func:`to_json` wrote."""
    data = json.loads(text)
    return Space(
        base=AcceleratorConfig(**data["base"]),
        fields={field: tuple(values) for field, values in data["fields"].items()},
        workloads=tuple(Workload(**entry | {"layers": tuple(entry["layers"])}) for entry in data["networks"]),
        constraints=tuple(Constraint.parse(text) for text in data["constraints"]),
        objectives=tuple(data["objectives"]),
        energy_table=data["energy_table"],
        search=Search(**data["search"]),
    )


def space_hash(space: Space) -> str:
    """Return a hash of all that decides which machines are costed, and what their costs are.

    Objectives do not, unless they steer the search: a front of other objectives needs no new costs.
    """
    data = {**_plain(space), "energy_table": table_identity(space.energy_table)}
    if space.search.method != "optuna":
        del data["objectives"]
    return hashlib.sha256(json.dumps(data, sort_keys=False).encode()).hexdigest()


def _plain(space: Space) -> Mapping[str, Any]:
    return {
        "base": dataclasses.asdict(space.base),
        "fields": {name: list(values) for name, values in space.fields.items()},
        "constraints": [constraint.text for constraint in space.constraints],
        "objectives": list(space.objectives),
        "networks": [dataclasses.asdict(workload) for workload in space.workloads],
        "energy_table": space.energy_table,
        "search": dataclasses.asdict(space.search),
    }
