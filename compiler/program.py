"""Compiles a network into a program: commands, memory image, and where everything is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from compiler.emitter import Emitter, Written
from compiler.graph import Network
from compiler.layers import Layer
from compiler.mapper import Mapper
from compiler.mapping import Mapping, Unit
from compiler.memory import FeatureMap, Planner
from compiler.nest import NestEmitter
from compiler.packing import filter_words, pack_filters, pack_parameters
from compiler.plan import Nest, Pass
from compiler.work import Work, lower
from golden.engine_model import Fields
from hw import spec
from hw.config import AcceleratorConfig


@dataclass(frozen=True, eq=False)
class CompiledLayer:
    """One layer of a program: where its ifmap and ofmap are, how it is mapped, where its mark goes."""

    layer: Layer
    source: FeatureMap
    target: FeatureMap
    mappings: tuple[Mapping, ...]
    mark_address: int


@dataclass(frozen=True, eq=False)
class Program:
    """Everything the machine needs to compute a batch.

    Members
    -------
    commands : tuple of (command name, fields)
        In program order.
    command_layers : tuple of int
        For each command the index of its layer.
    program_address : int
        Byte address of the first command.
    memory_bytes : int
        DRAM the program needs, from address 0 on.
    segments : tuple of (address, bytes)
        What DRAM holds beforehand: commands, filters, parameters (feature maps come from :meth:`image`).
    layers : tuple of CompiledLayer
        In the order of execution.
    """

    config: AcceleratorConfig
    network: Network
    batch: int
    commands: tuple[tuple[str, Fields], ...]
    command_layers: tuple[int, ...]
    program_address: int
    memory_bytes: int
    segments: tuple[tuple[int, bytes], ...]
    layers: tuple[CompiledLayer, ...]
    inputs: tuple[FeatureMap, ...] = field(default=())

    def image(self, inputs: Sequence[np.ndarray]) -> bytes:
        """Return the memory image with the given inputs (N, H, W, C), one for each of :attr:`inputs`."""
        memory = bytearray(self.memory_bytes)
        for address, data in self.segments:
            memory[address : address + len(data)] = data
        for fmap, values in zip(self.inputs, inputs, strict=True):
            data = fmap.pack(values)
            memory[fmap.address : fmap.address + len(data)] = data
        return bytes(memory)

    def ofmap(self, index: int, memory: bytes | memoryview) -> np.ndarray:
        """Return a layer's ofmap (N, E, F, M) from the memory after the run."""
        target = self.layers[index].target
        return target.unpack(bytes(memory[target.address : target.address + target.size_bytes]), np.dtype(np.int8))

    def snapshots(self, memory: bytes | memoryview) -> list[dict[str, int]]:
        """Return the counters at each layer's mark from the memory after the run."""
        size = spec.SNAPSHOT_BYTES
        return [
            dict(
                zip(
                    spec.COUNTER_NAMES,
                    np.frombuffer(bytes(memory[layer.mark_address : layer.mark_address + size]), "<u8").tolist(),
                    strict=True,
                )
            )
            for layer in self.layers
        ]


class _Compiler:
    def __init__(self, config: AcceleratorConfig, batch: int, mapper: Mapper | None) -> None:
        self.config = config
        self.batch = batch
        self.planner = Planner()
        self.emitter = Emitter(config=config)
        self.mapper = mapper if mapper is not None else Mapper(config=config)
        self.layers: list[CompiledLayer] = []
        self.written: dict[str, Written | None] = {}

    def add(
        self, layer: Layer, source: FeatureMap, written: Written | None, zero_point: int, *, consumed: bool
    ) -> FeatureMap:
        """Compile one layer and return its ofmap; its mark is added by :meth:`mark`."""
        target = self.planner.feature_map(self.batch, layer.output_shape, self.config, packed=False)
        works = lower(layer, input_zero_point=zero_point, psum_bits=self.config.psum_bits)
        parameters = self._place_parameters(layer, works)
        mappings = []
        result = Written(target) if consumed else None
        for work in works:
            ifmap = source.every(work.column_step)
            mapping = self.mapper.choose(
                layer.name, work, images=self.batch, input_shape=ifmap.shape, align=ifmap.pixels_per_beat
            )
            mappings.append(mapping)
            nest = Nest(
                work=work,
                mapping=mapping,
                source=ifmap,
                config=self.config,
                psums=self.emitter.psums,
                lanes=self.emitter.lanes,
            )
            own_parameters = parameters[id(work)]
            NestEmitter(
                emitter=self.emitter,
                nest=nest,
                source=ifmap,
                written=written,
                target=target,
                filters=self._filter_placer(work, mapping),
                parameter_address=own_parameters,
                result=result,
            ).run()
        self.layers.append(
            CompiledLayer(layer, source, target, tuple(mappings), self.planner.reserve(spec.SNAPSHOT_BYTES))
        )
        self.written[layer.name] = result
        return target

    def _place_parameters(self, layer: Layer, works: Sequence[Work]) -> dict[int, int]:
        """Place the layer's parameters; return for each work the address that ofmap channel 0 of the layer has."""
        addresses = {}
        for work in works:
            address = self.planner.place(pack_parameters(work.parameters))
            addresses[id(work)] = address - spec.PARAMETER_BYTES * work.ofmap_channel
        return addresses

    def _filter_placer(self, work: Work, mapping: Mapping) -> Callable[[Pass], int]:
        placed: dict[tuple[Unit, int], int] = {}

        def place(entry: Pass) -> int:
            key = (entry.strip.unit, entry.piece_index)
            if key not in placed:
                data = pack_filters(work, entry.strip.unit, entry.piece, mapping, self.config)
                expected = entry.strip.unit.groups * entry.piece.active_rows
                assert len(data) == expected * filter_words(entry.piece, mapping, self.config) * self.config.bus_bytes
                placed[key] = self.planner.place(data)
            return placed[key]

        return place

    def finish(self, network: Network, inputs: Sequence[FeatureMap]) -> Program:
        """Place the commands and return the program."""
        words = [spec.COMMAND[name].encode(fields) for name, fields in self.emitter.commands]
        data = b"".join(word.to_bytes(spec.COMMAND_BYTES, "little") for word in words)
        address = self.planner.place(data)
        return Program(
            config=self.config,
            network=network,
            batch=self.batch,
            commands=tuple(self.emitter.commands),
            command_layers=tuple(self.emitter.command_layers),
            program_address=address,
            memory_bytes=self.planner.size_bytes,
            segments=tuple(self.planner.segments),
            layers=tuple(self.layers),
            inputs=tuple(inputs),
        )


def compile_network(
    network: Network, config: AcceleratorConfig, *, batch: int = 1, mapper: Mapper | None = None
) -> Program:
    """Compile a whole network; one input, every layer's ofmap stays in DRAM.

    Parameters
    ----------
    network : Network
        What to compute.
    config : AcceleratorConfig
        The machine.
    batch : int
        N.
    mapper : Mapper, optional
        Reused between programs of one machine.

    Raises
    ------
    NetworkError
        If a layer cannot be mapped.
    """
    compiler = _Compiler(config, batch, mapper)
    first = compiler.planner.feature_map(batch, network.input_shape, config, packed=True)
    fmaps: dict[str | None, FeatureMap] = {None: first}
    consumers = {source.name for layer in network.layers if (source := network.source(layer.name)) is not None}
    for index, layer in enumerate(network.layers):
        source = network.source(layer.name)
        name = source.name if source is not None else None
        fmaps[layer.name] = compiler.add(
            layer,
            fmaps[name],
            compiler.written.get(name) if name is not None else None,
            network.input_zero_point(layer.name),
            consumed=layer.name in consumers,
        )
        compiler.emitter.mark(compiler.layers[-1].mark_address, last=index == len(network.layers) - 1)
    return compiler.finish(network, [first])


def compile_layers(
    network: Network, names: Sequence[str], config: AcceleratorConfig, *, batch: int = 1, mapper: Mapper | None = None
) -> Program:
    """Compile some layers one after the other, each with an input of its own.

    Parameters are those of :func:`compile_network`; ``names`` are the layers to run.
    """
    compiler = _Compiler(config, batch, mapper)
    inputs = []
    for index, name in enumerate(names):
        layer = network.layer(name)
        packed = network.source(name) is None
        source = compiler.planner.feature_map(batch, layer.input_shape, config, packed=packed)
        inputs.append(source)
        compiler.add(layer, source, None, network.input_zero_point(name), consumed=False)
        compiler.emitter.mark(compiler.layers[-1].mark_address, last=index == len(names) - 1)
    return compiler.finish(network, inputs)
