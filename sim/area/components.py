"""The components whose area adds up to a machine's: where their modules come from, how often, and what decides them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import Module, ResetInserter, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw import spec
from hw.config import AcceleratorConfig
from hw.control import Control
from hw.counters import CounterBank
from hw.csr import CsrBank
from hw.deliver import DeliverEngine
from hw.drain import DrainEngine
from hw.drain_compute import DrainCompute
from hw.drain_reader import DrainReader
from hw.drain_sender import DrainSender
from hw.drain_transposer import DrainTransposer
from hw.drain_walker import DrainWalker
from hw.eyas import INTERNAL_SEMAPHORES, Eyas
from hw.fetch import Fetch
from hw.filter_buffer import FilterBuffer
from hw.ifmap_buffer import IfmapBuffer
from hw.layouts import QUEUED_COMMAND
from hw.load_request import LoadRequest
from hw.load_write import LoadWrite
from hw.mac import MacEngine
from hw.parameter_memory import ParameterMemory
from hw.pe import ProcessingElement
from hw.pe_array import PEArray
from hw.pe_row import PERow, RowDelivery
from hw.psum_banks import PsumBanks
from hw.read_master import ReadMaster
from hw.requantise import Requantise
from hw.residual_add import ResidualAdd
from hw.residual_request import ResidualRequest
from hw.semaphore import Semaphore
from hw.stage import StageEngine
from hw.write_master import WriteMaster

#: Name of the module that is measured.
INSTANCE = "part"


class Queue(wiring.Component):
    """An engine's command queue with the ports that the machine uses.

    Latency: one cycle. Throughput: a command a cycle.

    Parameters
    ----------
    config : AcceleratorConfig
        The machine.

    Members
    -------
    pushed, popped : In, Out(stream of QUEUED_COMMAND)
        Both ends.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._depth = config.queue_depth
        super().__init__(
            {
                "pushed": In(stream.Signature(QUEUED_COMMAND)),
                "popped": Out(stream.Signature(QUEUED_COMMAND)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = SyncFIFO(width=QUEUED_COMMAND.size, depth=self._depth)
        wiring.connect(m, wiring.flipped(self.pushed), queue.w_stream)
        wiring.connect(m, queue.r_stream, wiring.flipped(self.popped))
        return m


class Resettable(wiring.Component):
    """A component whose registers start and reset of the machine reset, as in ``hw.eyas.Eyas``.

    Latency and throughput: those of the component.

    Parameters
    ----------
    inner : wiring.Component
        The component.

    Members
    -------
    ports : Out(inner.signature)
        Its ports.
    engine_reset : In(1)
        Resets it.
    """

    def __init__(self, inner: wiring.Component) -> None:
        self._inner = inner
        super().__init__({"ports": Out(inner.signature), "engine_reset": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules[INSTANCE] = ResetInserter(self.engine_reset)(self._inner)
        signature = self._inner.signature
        pairs = zip(signature.flatten(self.ports), signature.flatten(self._inner), strict=True)
        for (_, member, outer), (_, _, inner) in pairs:
            here, there = Value.cast(outer), Value.cast(inner)
            m.d.comb += there.eq(here) if member.flow is In else here.eq(there)
        return m


@dataclass(frozen=True)
class Component:
    """A kind of module whose instances add to a machine's area.

    Parameters
    ----------
    name : str
        Name in tables: engine or array first, then what it is there.
    build : function
        Makes the hardware component that is the module or contains it.
    fields : tuple of str
        The fields of ``AcceleratorConfig`` that decide the module's area.
    count : function
        Instances in a machine.
    apart : tuple of str
        Modules inside that are not counted here, because they are components themselves; ``*`` stands for all.
    inside : str
        Module inside of what ``build`` makes that is the component, if it is not the whole.
    resettable : bool
        Whether start and reset of the machine reset it.
    """

    name: str
    build: Callable[[AcceleratorConfig], wiring.Component]
    fields: tuple[str, ...] = ()
    count: Callable[[AcceleratorConfig], int] = lambda config: 1
    apart: tuple[str, ...] = ()
    inside: str = ""
    resettable: bool = True

    def key(self, config: AcceleratorConfig) -> tuple[int, ...]:
        """Return the values of the fields that decide the area."""
        return tuple(int(getattr(config, field)) for field in self.fields)


def _of(kind: Callable[..., wiring.Component]) -> Callable[[AcceleratorConfig], wiring.Component]:
    return lambda config: kind(config=config)


def _component(name: str, kind: Callable[..., wiring.Component], fields: str = "", **more) -> Component:  # type: ignore[no-untyped-def]
    return Component(name, _of(kind), tuple(fields.split()), **more)


_SPADS = "filter_spad_words ifmap_spad_words psum_spad_words"
_PE = f"{_SPADS} psum_bits activation_bits lanes"

COMPONENTS: tuple[Component, ...] = (
    _component("array.pe", ProcessingElement, _PE, count=lambda config: config.pes),
    _component(
        "array.row",
        PERow,
        "cols filter_spad_words psum_spad_words",
        count=lambda config: config.rows,
        apart=("pe", "row_delivery"),
    ),
    _component(
        "array.row_delivery",
        RowDelivery,
        "ifmap_spad_words activation_bits lanes",
        count=lambda config: config.rows,
    ),
    _component("array.chain", PEArray, f"rows cols {_SPADS} psum_bits", apart=("row",)),
    _component("global_buffer.ifmap", IfmapBuffer, "lanes ifmap_lane_words"),
    _component("global_buffer.filter", FilterBuffer, "rows filter_lane_words"),
    _component("global_buffer.psum", PsumBanks, "cols psum_bank_words psum_bits"),
    _component("control.fetch", Fetch),
    _component("control.queues", Queue, "queue_depth", count=lambda config: len(spec.ENGINES)),
    Component(
        "control.tokens",
        lambda config: Semaphore(),
        count=lambda config: len(spec.SEMAPHORES) + sum(not start for _, _, start in INTERNAL_SEMAPHORES.values()),
    ),
    Component("control.halves", lambda config: Semaphore(initial=2)),
    Component("control.csr", lambda config: CsrBank(), resettable=False),
    Component("control.state", lambda config: Control(), resettable=False),
    _component("control.counters", CounterBank, "counters", resettable=False),
    _component("control.read_master", ReadMaster, "outstanding_reads"),
    _component("load.request", LoadRequest, "burst_beats"),
    _component("load.write", LoadWrite, "lanes rows activation_bits"),
    _component("deliver", DeliverEngine, "rows cols lanes ifmap_spad_words"),
    _component("stage", StageEngine, "rows cols filter_spad_words"),
    _component("mac", MacEngine, f"rows cols {_SPADS}"),
    _component(
        "drain.control",
        DrainEngine,
        "activation_bits drain_width",
        apart=("compute", "walker", "residual_request", "reader", "sender", "master"),
    ),
    _component("drain.walker", DrainWalker, "cols activation_bits drain_width"),
    _component("drain.residual_request", ResidualRequest, "cols activation_bits drain_width residual_fifo_beats"),
    _component("drain.reader", DrainReader, "activation_bits drain_width drain_fifo_beats residual_fifo_beats"),
    _component("drain.parameters", ParameterMemory, "parameter_words"),
    _component(
        "drain.compute",
        DrainCompute,
        "cols activation_bits drain_width",
        apart=("requantise", "transposer", "residual_add"),
    ),
    _component("drain.requantise", Requantise, "cols psum_bits activation_bits drain_width"),
    _component("drain.transposer", DrainTransposer, "activation_bits drain_width"),
    _component("drain.residual_add", ResidualAdd, "activation_bits", apart=("fifo",)),
    _component("drain.residual_fifo", ResidualAdd, "residual_fifo_beats", inside="fifo"),
    _component("drain.sender", DrainSender, "drain_fifo_beats"),
    _component("drain.write_master", WriteMaster, "outstanding_writes"),
    _component("top", Eyas, resettable=False, apart=("*",)),
)

BY_NAME: dict[str, Component] = {component.name: component for component in COMPONENTS}
