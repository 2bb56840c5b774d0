"""Compiles a network into a program: commands, memory image, and where everything is."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from compiler.assemble import Assembler, CompiledLayer, Step, Stored, feature_maps, steps
from compiler.combining import Concat
from compiler.encoding import encode
from compiler.graph import Network, NetworkError
from compiler.layers import Layer
from compiler.mapper import Mapper
from compiler.memory import FeatureMap, Segment
from golden.engine_model import Fields
from hw import spec
from hw.config import AcceleratorConfig


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
    contents : tuple of Segment
        What DRAM holds beforehand, not made yet.
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
    contents: tuple[Segment, ...]
    layers: tuple[CompiledLayer, ...]
    inputs: tuple[FeatureMap, ...] = field(default=())

    @functools.cached_property
    def segments(self) -> tuple[tuple[int, bytes], ...]:
        """What DRAM holds beforehand, (address, bytes): parameters, filters, commands; :meth:`image` adds inputs."""
        return tuple((segment.address, segment.data()) for segment in self.contents)

    @property
    def results(self) -> range:
        """Byte addresses from the first ofmap to the last snapshot; filters and commands are not among them."""
        first = min(layer.target.address for layer in self.layers)
        return range(first, max(layer.mark_address for layer in self.layers) + spec.SNAPSHOT_BYTES)

    def image(self, inputs: Sequence[np.ndarray]) -> bytes:
        """Return the memory image with the given inputs (N, H, W, C), one for each of :attr:`inputs`."""
        memory = bytearray(self.memory_bytes)
        for address, data in self.segments:
            memory[address : address + len(data)] = data
        for fmap, values in zip(self.inputs, inputs, strict=True):
            data = fmap.pack(values)
            memory[fmap.address : fmap.address + len(data)] = data
        return bytes(memory)

    def ofmap(self, index: int, results: bytes | memoryview) -> np.ndarray:
        """Return a step's ofmap (N, E, F, M) from what was at :attr:`results` after the run."""
        target = self.layers[index].target
        start = target.address - self.results.start
        return target.unpack(bytes(results[start : start + target.size_bytes]), np.dtype(np.int8))

    def snapshots(self, results: bytes | memoryview) -> list[dict[str, int]]:
        """Return the counters at each step's mark from what was at :attr:`results` after the run."""
        snapshots = []
        for layer in self.layers:
            start = layer.mark_address - self.results.start
            values = np.frombuffer(bytes(results[start : start + spec.SNAPSHOT_BYTES]), "<u8").tolist()
            snapshots.append(dict(zip(spec.COUNTER_NAMES, values, strict=True)))
        return snapshots


def _program(network: Network, assembler: Assembler, inputs: Sequence[FeatureMap]) -> Program:
    """Place the commands and return the program."""
    commands = tuple(assembler.emitter.commands)
    size = spec.COMMAND_BYTES * len(commands)
    address = assembler.planner.place(size, functools.partial(encode, commands))
    return Program(
        config=assembler.config,
        network=network,
        batch=assembler.batch,
        commands=commands,
        command_layers=assembler.emitter.command_layers,
        program_address=address,
        memory_bytes=assembler.planner.size_bytes,
        contents=tuple(assembler.planner.segments),
        layers=tuple(assembler.layers),
        inputs=tuple(inputs),
    )


def compile_network(
    network: Network, config: AcceleratorConfig, *, batch: int = 1, mapper: Mapper | None = None
) -> Program:
    """Compile a whole network; one input, every step's ofmap stays in DRAM.

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
    assembler = Assembler(config=config, batch=batch, mapper=mapper)
    stored = feature_maps(network, assembler)
    todo = steps(network)
    assembler.reserve_marks(len(todo))
    read = _read_names(network, todo)
    for index, step in enumerate(todo):
        name = step.parts[-1].name
        target = stored[name] if name in read else Stored(stored[name].fmap)
        assembler.step(step.parts, [stored[source] for source in step.sources], target, last=index == len(todo) - 1)
    return _program(network, assembler, [stored[""].fmap])


def _read_names(network: Network, todo: Sequence[Step]) -> set[str]:
    """Return the layers whose ofmaps loads wait for, directly or as parts of a concatenation."""
    names = {step.sources[0] for step in todo}
    for layer in reversed(network.layers):
        if isinstance(layer, Concat) and layer.name in names:
            names |= {source.name for source in network.sources(layer.name) if source is not None}
    return names


def compile_layers(
    network: Network, names: Sequence[str], config: AcceleratorConfig, *, batch: int = 1, mapper: Mapper | None = None
) -> Program:
    """Compile some layers one after the other, each with inputs of its own, nothing fused.

    Parameters are those of :func:`compile_network`; ``names`` are the layers to run.

    Raises
    ------
    NetworkError
        If a layer cannot be mapped, or is a concatenation, which computes nothing.
    """
    assembler = Assembler(config=config, batch=batch, mapper=mapper)
    planned = [_stored_alone(network, network.layer(name), assembler) for name in names]
    assembler.reserve_marks(len(names))
    for index, (layer, sources, target) in enumerate(planned):
        assembler.step([layer], sources, target, last=index == len(names) - 1)
    return _program(network, assembler, [source.fmap for _, sources, _ in planned for source in sources])


def _stored_alone(network: Network, layer: Layer, assembler: Assembler) -> tuple[Layer, list[Stored], Stored]:
    """Return a layer with fresh places for its inputs and its ofmap."""
    if isinstance(layer, Concat):
        raise NetworkError(f"layers to run must compute something, not {layer.name!r}, which concatenates")
    planner, batch, config = assembler.planner, assembler.batch, assembler.config
    sources = network.sources(layer.name)
    packed = sources[0] is None and len(sources) == 1
    inputs = [planner.feature_map(batch, layer.input_shape, config, packed=packed) for _ in sources]
    target = planner.feature_map(batch, layer.output_shape, config, packed=False)
    return layer, [Stored(fmap) for fmap in inputs], Stored(target)
