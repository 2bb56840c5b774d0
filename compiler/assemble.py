"""Puts a network's layers together: where feature maps are, which additions drain takes over, what is never copied."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from compiler.combining import Add, Concat
from compiler.emitter import Emitter, Written
from compiler.graph import Network, NetworkError
from compiler.layers import Layer
from compiler.mapper import Mapper
from compiler.mapping import Mapping
from compiler.memory import FeatureMap, Planner
from compiler.nest import NestEmitter
from compiler.packing import filters_size_bytes, pack_filters, pack_parameters
from compiler.passes import Pass, UnitSlice
from compiler.plan import Nest
from compiler.weighted import Weighted
from compiler.work import Work, lower, residual_fields
from hw import spec
from hw.config import AcceleratorConfig


@dataclass(frozen=True, eq=False)
class CompiledLayer:
    """One step of a program, which ends with a mark: a layer, or one and the addition that drain takes over.

    Members
    -------
    layer : Layer
        Whose ofmap is in memory afterwards.
    parts : tuple of Layer
        What is computed, in this order; the last one is ``layer``.
    sources : tuple of FeatureMap
        The ifmaps.
    target : FeatureMap
        The ofmap.
    mappings : tuple of Mapping
        How the works of the layer are mapped.
    mark_address : int
        Byte address of the counters at its mark.
    """

    layer: Layer
    parts: tuple[Layer, ...]
    sources: tuple[FeatureMap, ...]
    target: FeatureMap
    mappings: tuple[Mapping, ...]
    mark_address: int

    @property
    def name(self) -> str:
        """Names of the parts."""
        return "+".join(part.name for part in self.parts)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(part.macs for part in self.parts)


@dataclass(frozen=True)
class Stored:
    """A feature map, and which strips write it: None if it is there from the start."""

    fmap: FeatureMap
    written: Written | None = None


class Assembler:
    """Compiles steps one after the other.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.
    batch : int
        N.
    mapper : Mapper, optional
        Chooses the mappings.

    Members
    -------
    planner : Planner
        Hands out addresses.
    emitter : Emitter
        Has the commands.
    layers : list of CompiledLayer
        The steps so far.
    """

    def __init__(self, *, config: AcceleratorConfig, batch: int, mapper: Mapper | None = None) -> None:
        self.config = config
        self.batch = batch
        self.planner = Planner()
        self.emitter = Emitter(config=config)
        self.mapper = mapper if mapper is not None else Mapper(config=config)
        self.layers: list[CompiledLayer] = []
        self._marks: Iterator[int] = iter(())

    def reserve_marks(self, count: int) -> None:
        """Reserve the snapshots of so many steps, one after the other, before the first step."""
        addresses = [self.planner.reserve(spec.SNAPSHOT_BYTES) for _ in range(count)]
        self._marks = iter(addresses)

    def step(self, parts: Sequence[Layer], sources: Sequence[Stored], target: Stored, *, last: bool) -> None:
        """Compile one layer, or a layer and the addition that follows it, and its mark.

        Parameters
        ----------
        parts : sequence of Layer
            The layer; then, if drain shall add, the :class:`Add` that reads it.
        sources : sequence of Stored
            Ifmap of the layer; then, if drain shall add, the feature map that is added.
        target : Stored
            Where the ofmap goes.
        last : bool
            Whether the program ends here.
        """
        layer = parts[0]
        works = lower(layer, psum_bits=self.config.psum_bits)
        residual = None
        if len(sources) > 1:
            addition = parts[-1]
            assert isinstance(addition, Add)
            own = addition.inputs.index(layer.name) if len(parts) > 1 else 0
            residual = residual_fields(addition, own, self._offset(addition, sources[1].fmap, target.fmap))
        parameters = self._place_parameters(works)
        mappings = [self._nest(layer, work, sources[0], target, parameters[id(work)], residual) for work in works]
        address = next(self._marks)
        fmaps = tuple(source.fmap for source in sources)
        self.layers.append(CompiledLayer(parts[-1], tuple(parts), fmaps, target.fmap, tuple(mappings), address))
        self.emitter.mark(address, last=last)

    def _nest(
        self,
        layer: Layer,
        work: Work,
        source: Stored,
        target: Stored,
        parameter_address: int,
        residual: dict[str, int] | None,
    ) -> Mapping:
        ifmap = source.fmap.every(work.column_step)
        mapping = self.mapper.choose(
            layer.name,
            work,
            images=self.batch,
            input_shape=ifmap.shape,
            align=ifmap.pixels_per_beat,
            residual=residual is not None,
        )
        nest = Nest(
            work=work,
            mapping=mapping,
            source=ifmap,
            config=self.config,
            psums=self.emitter.psums,
            lanes=self.emitter.lanes,
        )
        NestEmitter(
            emitter=self.emitter,
            nest=nest,
            source=ifmap,
            written=source.written,
            target=target.fmap,
            filters=self._filter_placer(work, mapping),
            parameter_address=parameter_address,
            residual=residual,
            result=target.written,
        ).run()
        return mapping

    @staticmethod
    def _offset(addition: Layer, residual: FeatureMap, target: FeatureMap) -> int:
        """Return the bytes from the ofmap to the feature map that is added to it."""
        several = ("image_stride",) if target.images > 1 else ()
        names = ("column_stride", "block_stride", "pixel_channels", *several)
        if any(getattr(residual, name) != getattr(target, name) for name in names):
            raise NetworkError(
                f"inputs of layer {addition.name} must be stored like its ofmap to be added to it, "
                "neither packed (fewer channels than a block) nor a part of a concatenation of several images"
            )
        return residual.address - target.address

    def _place_parameters(self, works: Sequence[Work]) -> dict[int, int]:
        """Place the layer's parameters; return for each work the address that ofmap channel 0 of the layer has."""
        addresses = {}
        for work in works:
            size = spec.PARAMETER_BYTES * len(work.parameters)
            address = self.planner.place(size, functools.partial(pack_parameters, work.parameters))
            addresses[id(work)] = address - spec.PARAMETER_BYTES * work.ofmap_channel
        return addresses

    def _filter_placer(self, work: Work, mapping: Mapping) -> Callable[[Pass], int]:
        placed: dict[UnitSlice, int] = {}

        def place(entry: Pass) -> int:
            part, unit = entry.part, entry.strip.unit
            if part not in placed:
                size = filters_size_bytes(unit, part.piece, mapping, self.config)
                pack = functools.partial(pack_filters, work, unit, part.piece, mapping, self.config)
                placed[part] = self.planner.place(size, pack)
            return placed[part]

        return place


@dataclass(frozen=True)
class Step:
    """What is compiled together: layers, and the names of what they read; empty names mean the network's input."""

    parts: tuple[Layer, ...]
    sources: tuple[str, ...]


def steps(network: Network) -> list[Step]:
    """Return the steps of a network: an addition goes into the layer just before it, if nobody else reads that one.

    Concatenations are no steps; their inputs are written where they shall be.
    """
    names = {
        layer.name: [source.name if source else "" for source in network.sources(layer.name)]
        for layer in network.layers
    }
    readers = [name for sources in names.values() for name in sources]
    result: list[Step] = []
    for layer in network.layers:
        sources = tuple(names[layer.name])
        before = result[-1] if result else None
        if isinstance(layer, Concat):
            continue
        if isinstance(layer, Add) and before is not None and _fuses(layer, before, readers):
            others = [name for name in sources if name != before.parts[0].name]
            result[-1] = Step((before.parts[0], layer), (before.sources[0], others[0]))
        else:
            result.append(Step((layer,), sources))
    return result


def _fuses(addition: Add, before: Step, readers: Sequence[str]) -> bool:
    layer = before.parts[-1]
    return (
        len(before.parts) == 1
        and isinstance(layer, Weighted)
        and layer.name in addition.inputs
        and readers.count(layer.name) == 1
    )


def feature_maps(network: Network, assembler: Assembler) -> dict[str, Stored]:
    """Return where each layer's ofmap and the network's input ("") are; parts of a concatenation lie in the whole.

    Raises
    ------
    NetworkError
        If a concatenation cannot be had without copying.
    """
    planner, batch, config = assembler.planner, assembler.batch, assembler.config
    stored = {"": Stored(planner.feature_map(batch, network.input_shape, config, packed=True))}
    parts = _parts(network, config)
    for layer in reversed(network.layers):
        if layer.name in parts:
            whole, first = parts[layer.name]
            stored[layer.name] = _part(stored[whole], first, layer.output_shape)
        else:
            fmap = planner.feature_map(batch, layer.output_shape, config, packed=False)
            stored[layer.name] = Stored(fmap, Written(fmap))
    return stored


def _parts(network: Network, config: AcceleratorConfig) -> dict[str, tuple[str, int]]:
    """Return for each input of a concatenation the concatenation and the channel block where it begins there."""
    parts: dict[str, tuple[str, int]] = {}
    for layer in network.layers:
        if not isinstance(layer, Concat):
            continue
        channel = 0
        for source in network.sources(layer.name):
            if source is None or source.name in parts or channel % config.channel_block:
                raise NetworkError(
                    f"inputs of layer {layer.name} must be layers of {config.channel_block}, "
                    f"{2 * config.channel_block}, ... channels that no other concatenation reads"
                )
            parts[source.name] = layer.name, channel // config.channel_block
            channel += source.output_shape[2]
    return parts


def _part(whole: Stored, first_block: int, shape: tuple[int, int, int]) -> Stored:
    fmap = whole.fmap.part(first_block, shape)
    assert whole.written is not None
    return Stored(fmap, whole.written.part(first_block, fmap.blocks))
