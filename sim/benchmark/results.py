"""Results of ``eyas bench``: what a step measured, and what an item adds up to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from compiler.assemble import CompiledLayer
from compiler.weighted import Conv, FullyConnected
from golden.eyeriss import PUBLISHED, ConvShape, Published, dram_bound_bytes
from hw import spec
from hw.config import AcceleratorConfig
from sim.benchmark.items import Item
from sim.report import DRAM_COUNTERS, Counts

#: What one step writes; see :func:`layer_entry` for its layers.
StepResult = dict[str, Any]
#: Of what a step writes; older results are made again.
FORMAT = 1
#: What is compared with the prediction.
EQUALITIES = ("bit_exact", "counters_equal", "cycles_equal")
#: Bank accesses by execute (stage reads filters, deliver ifmaps, mac reads and writes psums) and bytes of each.
#: Load's writes and drain's reads are counted, too, but are not execute's.
EXECUTE_ACCESSES: dict[str, int] = {
    "glb.ifmap.read": 8,
    "glb.filter.read": 8,
    "glb.psum.read": 4,
    "glb.psum.write": 4,
}
#: Where the cycles of execute can go; what is left is before its first command and after its last.
CYCLE_COUNTERS = tuple(name for name in spec.COUNTER_NAMES if name.startswith("cycle.execute."))


def machine_entry(config: AcceleratorConfig) -> dict[str, Any]:
    """Return what the document says about a machine; scratchpads hold psums of ``psum_bits``, the rest operands."""
    operands = 2 * config.filter_spad_words * config.weight_bits + config.ifmap_spad_words * config.activation_bits
    bits = operands + config.psum_spad_words * config.psum_bits
    return {
        "name": config.name,
        "rows": config.rows,
        "cols": config.cols,
        "ifmap_buffer_bytes": config.ifmap_buffer_bytes,
        "psum_buffer_bytes": config.psum_buffer_bytes,
        "filter_buffer_bytes": config.filter_buffer_bytes,
        "scratchpad_bytes": config.pes * bits // 8,
    }


def layer_entry(layer: CompiledLayer, batch: int, counters: Counts) -> dict[str, Any]:
    """Return a layer's line of a result: MACs of the batch, shape, bytes of each datum once, counters not zero."""
    head = layer.parts[0]
    conv = head.as_conv() if isinstance(head, FullyConnected) else head
    shape, once = None, None
    if isinstance(conv, Conv):
        m, r, s, c = conv.filter_shape
        e, f, _ = conv.output_shape
        g = conv.groups
        shape = asdict(ConvShape(C=c, M=m // g, E=e, F=f, R=r, S=s, U=conv.stride[0], G=g))
        once = math.prod(conv.filter_shape) + batch * (math.prod(conv.input_shape) + math.prod(conv.output_shape))
    nonzero = {name: value for name, value in counters.items() if value}
    return {"name": layer.name, "macs": batch * layer.macs, "shape": shape, "once_bytes": once, "counters": nonzero}


@dataclass(frozen=True)
class Measured:
    """A layer, or a sum of layers, with its counters."""

    name: str
    macs: int
    counters: Mapping[str, int]
    shape: ConvShape | None = None
    once_bytes: int | None = None

    def __getitem__(self, counter: str) -> int:
        return self.counters.get(counter, 0)

    @property
    def cycles(self) -> int:
        """Cycles, for a layer of several from the end of the layer before to its own."""
        return self["cycle.total"]

    @property
    def dram_bytes(self) -> int:
        """All DRAM traffic: filters, parameters, commands and marks included."""
        return sum(self[name] for name in DRAM_COUNTERS)

    @property
    def glb_accesses(self) -> int:
        """Bank accesses by execute, whatever their width."""
        return sum(self[name] for name in EXECUTE_ACCESSES)

    @property
    def glb_bytes(self) -> int:
        """Bytes of these accesses."""
        return sum(self[name] * width for name, width in EXECUTE_ACCESSES.items())

    def utilisation(self, pes: int) -> float:
        """Return the share of MAC slots used."""
        return self.macs / (pes * self.cycles)

    @property
    def bounds(self) -> dict[str, int]:
        """Cycles that each resource needs at least for what the layer has counted."""
        return {
            "array": self["cycle.execute.busy"],
            "DRAM beats": -(-self.dram_bytes // 8),
            "lane reads": self["array.ifmap.multicast"],
            "drain": self["parameter.read"],  # one a cycle in which drain reads the psum banks
        }

    @property
    def binding(self) -> tuple[str, float]:
        """The resource that needs most cycles, and the layer's cycles over these."""
        name, cycles = max(self.bounds.items(), key=lambda bound: bound[1])
        return name, self.cycles / cycles


def add(name: str, parts: Iterable[Measured]) -> Measured:
    """Return the sum of layers."""
    parts = list(parts)
    counters = {counter: sum(part[counter] for part in parts) for counter in spec.COUNTER_NAMES}
    return Measured(name, sum(part.macs for part in parts), counters)


@dataclass(frozen=True)
class ItemResult:
    """The finished steps of an item."""

    item: Item
    steps: Sequence[StepResult]

    @property
    def layers(self) -> list[Measured]:
        """Every layer of every step."""
        return [
            Measured(
                entry["name"],
                entry["macs"],
                entry["counters"],
                ConvShape(**entry["shape"]) if entry["shape"] else None,
                entry["once_bytes"],
            )
            for step in self.steps
            for entry in step["layers"]
        ]

    @property
    def total(self) -> Measured:
        """The sum of all layers."""
        return add("total", self.layers)

    @property
    def machine(self) -> dict[str, Any]:
        """The machine, as :func:`machine_entry` returns it."""
        return self.steps[0]["machine"]

    @property
    def pes(self) -> int:
        """PEs of the machine."""
        return self.machine["rows"] * self.machine["cols"]

    @property
    def equal(self) -> bool:
        """Whether bytes, counters and cycles are as predicted; true of what only the model answers."""
        return all(step[name] for step in self.steps for name in EQUALITIES)

    @property
    def wall_seconds(self) -> float:
        """Time in the simulator."""
        return sum(step["wall_seconds"] for step in self.steps)

    @property
    def depthwise(self) -> list[Measured]:
        """The depthwise layers."""
        return [layer for layer in self.layers if layer.shape and layer.shape.C == 1 and layer.shape.G > 1]


def find(results: Sequence[ItemResult], name: str) -> ItemResult:
    """Return the result of the item called ``name``."""
    return next(result for result in results if result.item.name == name)


def eyeriss_layers(result: ItemResult) -> list[Published]:
    """Return what Eyeriss needs for each layer of an item, then for all together."""
    published = PUBLISHED[result.item.network]
    return [*(published.layers[layer.name.upper()] for layer in result.layers), published.total]


def lower_bound_bytes(result: ItemResult, layer: Measured) -> float:
    """Return the least DRAM traffic of a layer with all on-chip memory, scratchpads included, as one buffer."""
    machine = result.machine
    on_chip = sum(machine[f"{part}_bytes"] for part in ("ifmap_buffer", "psum_buffer", "filter_buffer", "scratchpad"))
    assert layer.shape is not None
    return dram_bound_bytes(layer.shape, result.item.batch, on_chip, 1)


def collected(results: Sequence[ItemResult]) -> str:
    """Return the JSON of all results from which the document is made, without the layers that it does not show."""
    lines = []
    for result in results:
        steps = [{key: value for key, value in step.items() if key != "key"} for step in result.steps]
        if not result.item.per_layer:
            entry = asdict(result.total)
            entry["counters"] = {name: value for name, value in entry["counters"].items() if value}
            equal = {name: all(step[name] for step in steps) for name in EQUALITIES}
            whole = {"step": "total", **equal, "wall_seconds": result.wall_seconds, "layers": [entry]}
            steps = [{**steps[0], **whole}]
        texts = ",\n".join(_one_layer_a_line(step) for step in steps)
        lines.append(f"{json.dumps(result.item.name)}: [\n{texts}\n]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _one_layer_a_line(step: StepResult) -> str:
    head = json.dumps({key: value for key, value in step.items() if key != "layers"})
    layers = ",\n  ".join(json.dumps(layer) for layer in step["layers"])
    return f'{head[:-1]}, "layers": [\n  {layers}]}}'


def load_collected(text: str, items: Sequence[Item]) -> list[ItemResult]:
    """Return the results in the JSON of :func:`collected`."""
    data = json.loads(text)
    return [ItemResult(item, data[item.name]) for item in items if item.name in data]
