"""What the page needs to draw a layer on the PE array: the first pass of its first work."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.assemble import steps
from compiler.graph import Network
from compiler.layers import Layer
from compiler.mapping import Mapping as LayerMapping
from compiler.mapping import units
from compiler.work import Work, lower
from hw.config import AcceleratorConfig
from sim.sweep.costs import cached_network
from sim.sweep.space import Workload

Facts = dict[str, object]


def step_layers(workload: Workload) -> list[Layer]:
    """Return the layer that the array computes in each step of a workload, in the order of execution."""
    net: Network = cached_network(workload.network)
    if workload.layers:
        return [net.layer(name) for name in workload.layers]
    return [step.parts[0] for step in steps(net)]


def first_pass(layer: Layer, mappings: tuple[LayerMapping, ...], config: AcceleratorConfig, *, batch: int) -> Facts:
    """Return where the first pass of a layer has its filter rows, channels, filters and ofmap rows.

    ``pair``, ``slots``, ``active_rows``, ``last_rows`` and ``strip_columns`` are those of ``execute.pass``: slot s of
    PE row i has pair ``pair + s * active_rows + i`` (channel * R + filter row), in depthwise work
    ``pair + s * R + i``. PE column i has entry i of the (filter group, image, ofmap row) entries of the first tile.

    Parameters
    ----------
    layer : Layer
        What is computed.
    mappings : tuple of Mapping
        Of the layer's works.
    config : AcceleratorConfig
        The machine.
    batch : int
        N.
    """
    works = lower(layer, psum_bits=config.psum_bits)
    work, mapping = works[0], mappings[0]
    unit = units(work, mapping, config)[0]
    piece = unit.slices[0]
    images, rows = min(mapping.images, batch), min(mapping.rows, len(work.rows))
    facts: Mapping[str, object] = {
        **_shape(layer, work),
        "N": batch,
        "works": len(works),
        "p": mapping.filters,
        "taps": mapping.taps,
        "images": images,
        "rows": rows,
        "columns": min(mapping.columns, len(work.columns)),
        "strips": mapping.strips,
        "resident": mapping.resident,
        "first_row": work.rows.start,
        "psums": unit.psums,
        "passes": len(unit.slices),
        "pair": piece.pair,
        "slots": piece.slots,
        "active_rows": piece.active_rows,
        "last_rows": piece.last_rows,
        "strip_columns": min(config.cols, unit.groups * images * rows),
        "pe_rows": config.rows,
        "pe_columns": config.cols,
    }
    return {name: _plain(value) for name, value in facts.items()}


def _shape(layer: Layer, work: Work) -> Facts:
    height, width, channels = layer.input_shape
    e, f, filters = layer.output_shape
    sizes = {"H": height, "W": width, "C": channels, "E": e, "F": f, "M": filters}
    sizes |= {"R": work.window[0], "S": work.window[1]}
    kind = "pool" if work.pool else "depthwise convolution" if work.depthwise else "convolution"
    return {
        "kind": kind,
        **sizes,
        "stride": list(work.stride),
        "padding": list(work.padding),
        "depthwise": work.depthwise,
        "channel": work.channel,
        "filter": work.ofmap_channel,
        "filters": work.filters,
    }


def _plain(value: object) -> object:
    """Return a value as JSON has it; the compiler's integers may be NumPy's."""
    if isinstance(value, str | bool | list):
        return value
    return int(value)  # type: ignore[call-overload]
